# Reads the input of a v6flow command and writes its result, without rounding a number on either way.
#
# In a script that a workflow names under `command: [Rscript, analysis.R]`:
#
#   source(Sys.getenv("V6FLOW_R"))
#   input <- v6flow_input()                      # the step's kwargs: a named list
#   values <- unlist(input$values)
#   v6flow_output(list(mean = mean(values), n = length(values), values = I(values)))
#
# Whatever the script prints goes to the step's log. It needs the package jsonlite to read.
#
# Of what becomes what: a list with names, and a vector with names, is an object; a list without names, a vector of
# several values, and anything in I(...) is an array; a single value is itself; NULL is null; a data frame is an
# object of columns; a matrix is an array of its rows. `list()` is [] and `setNames(list(), character(0))` is {}.
# NA, NaN and Inf are refused, for no JSON number says them. A whole number above 2^53 does not fit R's numbers.
#
# jsonlite's own writer is not used for numbers: even digits = NA and digits = I(17) stop at 15 digits, and a
# double needs 17 to come back as the same. The tests run without R and do not cover this file.

v6flow_input <- function(simplify = FALSE) {
  # simplify = TRUE lets jsonlite turn arrays into vectors, matrices and data frames where it can.
  if (!requireNamespace("jsonlite", quietly = TRUE)) {
    stop("v6flow.R needs the package jsonlite to read the input: install.packages(\"jsonlite\")", call. = FALSE)
  }
  path <- .v6flow_path("V6FLOW_INPUT")
  text <- readChar(path, file.info(path)$size, useBytes = TRUE)
  Encoding(text) <- "UTF-8"
  jsonlite::parse_json(text, simplifyVector = simplify)
}

v6flow_output <- function(result) {
  bytes <- charToRaw(enc2utf8(v6flow_json(result)))
  connection <- file(.v6flow_path("V6FLOW_OUTPUT"), open = "wb")
  on.exit(close(connection))
  writeBin(bytes, connection)
  invisible(result)
}

v6flow_json <- function(x, place = "result") {
  if (is.null(x)) return("null")
  if (is.data.frame(x)) return(.v6flow_object(lapply(as.list(x), I), place))
  if (is.factor(x)) x <- if (inherits(x, "AsIs")) I(as.character(x)) else as.character(x)
  if (length(setdiff(oldClass(x), "AsIs")) > 0 || length(dim(x)) > 2) {
    stop(place, " is of class ", class(x)[1], ": say as.character, as.numeric or as.list of it", call. = FALSE)
  }
  if (is.matrix(x)) {
    rows <- lapply(seq_len(nrow(x)), function(i) I(unname(x[i, ])))
    return(.v6flow_array(rows, place))
  }
  if (!is.list(x) && !is.logical(x) && !is.numeric(x) && !is.character(x)) {
    stop(place, " is of class ", class(x)[1], ", which JSON cannot hold", call. = FALSE)
  }
  if (!is.null(names(x))) return(.v6flow_object(as.list(x), place))
  if (is.list(x)) return(.v6flow_array(unclass(x), place))
  if (inherits(x, "AsIs") || length(x) != 1) return(.v6flow_array(as.list(unclass(x)), place))
  .v6flow_scalar(x, place)
}

.v6flow_object <- function(items, place) {
  keys <- names(items)
  if (any(is.na(keys)) || any(keys == "") || anyDuplicated(keys)) {
    stop(place, " has elements without a name, or names that stand twice", call. = FALSE)
  }
  parts <- vapply(seq_along(items), function(i) {
    key <- .v6flow_text(keys[i])
    paste0(key, ":", v6flow_json(items[[i]], paste0(place, "$", keys[i])))
  }, "")
  paste0("{", paste(parts, collapse = ","), "}")
}

.v6flow_array <- function(items, place) {
  parts <- vapply(seq_along(items), function(i) {
    v6flow_json(items[[i]], paste0(place, "[[", i, "]]"))
  }, "")
  paste0("[", paste(parts, collapse = ","), "]")
}

.v6flow_scalar <- function(x, place) {
  if (is.na(x) || (is.numeric(x) && !is.finite(x))) {
    stop(place, " is ", format(x), ", which no JSON number says", call. = FALSE)
  }
  if (is.logical(x)) return(if (x) "true" else "false")
  if (is.integer(x)) return(sprintf("%d", x))
  if (is.numeric(x)) return(sprintf("%.17g", x))
  .v6flow_text(x)
}

.v6flow_text <- function(x) {
  x <- enc2utf8(x)
  x <- gsub("\\", "\\\\", x, fixed = TRUE)
  x <- gsub("\"", "\\\"", x, fixed = TRUE)
  for (code in 1:31) {
    x <- gsub(intToUtf8(code), sprintf("\\u%04x", code), x, fixed = TRUE)
  }
  paste0("\"", x, "\"")
}

.v6flow_path <- function(name) {
  path <- Sys.getenv(name)
  if (path == "") stop("there is no ", name, ": this is to be run by v6flow, as a command", call. = FALSE)
  path
}
