"""Which options and words of well-known programs are code: shells, languages, query tools and what starts them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Literal, TypeAlias, TypeVar

from msgspec import Struct, field
from msgspec.structs import replace

from v6flow.core.patterns import pattern

if TYPE_CHECKING:
    from collections.abc import Mapping

_T = TypeVar("_T")

Kind: TypeAlias = Literal["code", "rest", "later", "file", "value", "pair", "inline"]
"""What follows an option.

`code`: code; `rest`: code to the end; `later`: it makes the first word that is no option code; `file`: a file or module
that is run; `value`: data; `pair`: a name and data; `inline`: data, only ever in the same word.
"""

First: TypeAlias = Literal["file", "code", "database", "data", "rest"]
"""What the first word that is no option is: a file that is run, code, a database before code, data, code to the end."""


class Interpreter(Struct, frozen=True):
    """How an interpreter reads its command line.

    `permutes`: it reads options behind other words too; `stops`: none behind the code; `clusters`: `-ec` is `-e -c`;
    `ends`: no options follow these words; `remedy` is how to pass a value, with `{program}`, `{value}` in quotes, and
    `{bare}` without them.
    """

    options: Mapping[str, Kind] = field(default_factory=dict)
    first: First = "file"
    remedy: str = ""
    permutes: bool = False
    stops: bool = False
    clusters: bool = True
    ends: tuple[str, ...] = ("--",)
    prefixes: bool = False  # an option may be cut short, in any case: -Comm


class Starter(Struct, frozen=True):
    """How a program reads its command line that starts another one: its `words` come first, `NAME=text` if it may.

    `options` are as an interpreter's. `searched`: its options are too many to list, and the other program is searched.
    """

    options: Mapping[str, Kind] = field(default_factory=dict)
    words: int = 0
    assigns: bool = False
    searched: bool = False


def _options(**kinds: str) -> dict[str, Kind]:
    """The options of each kind, given as words with spaces between."""
    return {option: kind for kind, words in kinds.items() for option in words.split()}  # type: ignore[misc]  # Kind's


def _each(names: str, what: _T) -> dict[str, _T]:
    """The same of each of some programs."""
    return dict.fromkeys(names.split(), what)


_FILE = "put the code into a file: [{program}, FILE, {value}], and read the arguments there"
_FILE_OPTION = _FILE.replace("FILE", "-File, FILE")
_DASHED = "[{program}, %s, '%s', --, {value}]"

_SHELL = Interpreter(
    _options(later="-c", value="-o -O +o +O --rcfile --init-file"),
    remedy="""[{program}, -c, 'printf "%s" "$1"', {program}, {value}]""",
    stops=True,
)
_PYTHON = Interpreter(
    _options(code="-c", file="-m", value="-W -X --check-hash-based-pycs"),
    remedy="[{program}, -c, 'import sys; print(sys.argv[1])', {value}]",
    stops=True,
)
_PERL = Interpreter(
    _options(code="-e -E -M -m -F", value="-I", inline="-i -0 -l -C -D -x -d"),
    remedy=_DASHED % ("-e", "print $ARGV[0]"),
)
_RUBY = Interpreter(
    _options(code="-e", file="-r", value="-I -C -E --encoding", inline="-i -0 -F -K -W -x -T"),
    remedy=_DASHED % ("-e", "print ARGV[0]"),
)
_NODE = Interpreter(
    _options(code="-e -p -pe --eval --print", file="-r --require --import --loader --experimental-loader",
             value="-C --conditions --input-type --env-file"),
    remedy=_DASHED % ("-e", "console.log(process.argv[1])"), clusters=False,
)  # fmt: skip
_R = Interpreter(
    _options(code="-e", file="-f --file", value="-g --gui -d --debugger"),
    remedy=_FILE.replace("{program}", "Rscript"), clusters=False, ends=("--args",),
)  # fmt: skip
_PHP = Interpreter(
    _options(code="-r -B -R -E --run --process-begin --process-code --process-end", value="-c -t -S",
             file="-f -F -z --file --process-file", inline="-d"),
    remedy=_DASHED % ("-r", "echo $argv[1];"),
)  # fmt: skip
_AWK = Interpreter(
    _options(code="-e --source", file="-f -E -i -l --file --exec --include --load",
             value="-F -v --field-separator --assign"),
    first="code", remedy="[{program}, 'BEGIN {{ print ARGV[1] }}', {value}]",
)  # fmt: skip
_SED = Interpreter(
    _options(code="-e --expression", file="-f --file", value="-l --line-length", inline="-i"),
    first="code", permutes=True,
)  # fmt: skip
_JQ = Interpreter(
    _options(file="-f --from-file", value="-L --indent", pair="--arg --argjson --slurpfile --rawfile --argfile"),
    first="code", remedy="[{program}, -n, --arg, x, {value}, '$x']", permutes=True,
)  # fmt: skip
_PSQL = Interpreter(
    _options(code="-c --command", file="-f --file", value="-d -h -p -U -F -R -T -o -L -P -v --dbname --host --port "
             "--username --output --log-file --pset --set --variable --field-separator --record-separator"),
    first="data", permutes=True,
    remedy="""[{program}, -v, "x={bare}", -f, FILE] with :'x' in the file's SQL""",
)  # fmt: skip
_SQL = Interpreter(
    _options(code="-e --execute -q --query -Q --init-command -c --command", value="-h -P -u -D --host --port --user "
             "--database -S --socket"),
    first="data", permutes=True, clusters=False,
)  # fmt: skip
_SQLITE = Interpreter(
    _options(code="-cmd -c -s", file="-init -f", value="-separator -newline -nullvalue -vfs -maxsize -mmap"),
    first="database", permutes=True, clusters=False,
)  # fmt: skip
_POWERSHELL = Interpreter(
    _options(rest="-command -encodedcommand -commandwithargs -ec -cwa", file="-file",
             value="-executionpolicy -ep -ex -workingdirectory -wd -outputformat -inputformat -windowstyle "
             "-configurationname -settingsfile -custompipename -version"),
    remedy=_FILE_OPTION, stops=True, clusters=False, prefixes=True, ends=(),
)  # fmt: skip
_WINDOWS_POWERSHELL = Interpreter(
    _POWERSHELL.options, first="rest", remedy=_FILE_OPTION, stops=True, clusters=False, prefixes=True, ends=()
)
_CMD = Interpreter(_options(rest="/c /k /r /C /K /R"), first="data", clusters=False, ends=())


def _language(code: str, *, value: str = "", file: str = "", clusters: bool = False) -> Interpreter:
    """A language whose `code` options are followed by code, and that else runs a file and gives it arguments."""
    return Interpreter(_options(code=code, value=value, file=file), remedy=_FILE, clusters=clusters)


def _reader(code: str, *, value: str = "", file: str = "") -> Interpreter:
    """A program like a language, but what follows its file are more files."""
    return replace(_language(code, value=value, file=file), remedy="")


_ALL_CODE = Interpreter(first="rest", clusters=False, ends=())

INTERPRETERS: Mapping[str, Interpreter] = {
    **_each(
        "sh bash dash ash zsh ksh mksh pdksh lksh rbash rzsh yash posh osh csh tcsh rc es oksh",
        _SHELL),
    "fish": Interpreter(_options(code="-c -C --command --init-command", value="-d -o -f -p"),
                        remedy="[{program}, -c, 'echo $argv[1]', --, {value}]"),
    "nu": _language("-c -e --commands --execute", value="--config --env-config"),
    "xonsh": _language("-c", value="-D --rc"),
    "elvish": Interpreter(_options(later="-c"), remedy=_FILE, stops=True),
    **_each("python pythonw pypy ipython jython micropython graalpy py", _PYTHON),
    "perl": _PERL, "raku": _language("-e", value="-I -M", clusters=True), "perl6": _language("-e"),
    **_each("ruby jruby truffleruby mruby", _RUBY),
    **_each("node nodejs bun tsx ts-node", _NODE),
    "deno": Interpreter(first="rest", clusters=False, ends=()),
    **_each("qjs d8 rhino js js60 js78 js91 js102 js115 gjs", _language("-e --eval -c --command")),
    **_each("r rscript littler rterm", _R),
    "php": _PHP, "php-cgi": _PHP,
    **_each("lua luajit texlua", _language("-e", file="-l", clusters=True)),
    "julia": _language("-e -E --eval --print", file="-L --load -m", value="-t -p -J -C --project --threads --procs"),
    **_each("tclsh wish", Interpreter(remedy=_FILE, clusters=False)),
    "expect": _language("-c", file="-f", clusters=True),
    "osascript": _language("-e", value="-l -s"),
    "pwsh": _POWERSHELL, "powershell": _WINDOWS_POWERSHELL, "cmd": _CMD,
    **_each("awk gawk mawk nawk original-awk goawk", _AWK),
    **_each("sed gsed ssed", _SED),
    **_each("jq gojq jaq", _JQ),
    **_each("yq xq", Interpreter(_JQ.options, first="code", permutes=True)),
    **_each("psql usql pgcli", _PSQL),
    **_each(
        "mysql mariadb sqlcmd clickhouse-client clickhouse-local isql vsql snowsql cqlsh trino beeline "
        "impala-shell hive monetdb mclient",
        _SQL),
    **_each("sqlite sqlite3 duckdb", _SQLITE),
    **_each("mongo mongosh", _reader("--eval", value="-u -p --host --port", file="-f --file")),
    "cypher-shell": Interpreter(_options(value="-a -u -p -d", file="-f"), first="code", permutes=True),
    **_each("octave octave-cli", _language("--eval", value="-p --path")),
    "matlab": _reader("-r -batch", value="-logfile -sd"),
    "maxima": _reader("-r --run-string --batch-string", file="-b --batch -p --preload-lisp"),
    "gnuplot": _reader("-e", file="-c"), "sage": _language("-c"), "gap": _reader("-c"),
    "gp": _reader("-c"), "stata": _ALL_CODE, "stata-mp": _ALL_CODE, "stata-se": _ALL_CODE,
    "scala": _language("-e"), "groovy": _language("-e"), "jshell": _reader("-R"),
    **_each("clojure clj bb", _language("-e --eval -M -X -m", file="-i -f --init")),
    "elixir": _language("-e --eval --rpc-eval", file="-r"), "iex": _language("-e --eval"),
    "erl": _reader("-eval -run -s"), "escript": _language("-e"),
    "ghc": _reader("-e"), **_each("runghc runhaskell", _language("-e")),
    "racket": _language("-e --eval", file="-f -t -l -r -u"), "guile": _language("-c -e", file="-l -s"),
    **_each("sbcl clisp ecl ccl", _reader("--eval -x -e", file="--load --script -i")),
    **_each("emacs emacsclient", _reader("--eval --execute -e -eval", file="-l --load --script")),
    **_each("vim vi nvim ex gvim view", _reader("-c --cmd +", file="-S -s -u")),
    **_each("gdb lldb", _reader("-ex --eval-command -iex -o --one-line -O", file="-x -s --source")),
    **_each("ocaml utop", _language("-e")), "swift": _language("-e"), "kotlin": _language("-e"),
    **_each("crystal nim", _reader("eval -e --eval")), "janet": _language("eval -e --eval"),
    **_each("bc dc", _reader("-e --expression", file="-f --file")),
    **_each("m4 xidel", _reader("-D -e --extract", file="-f")),
    **_each("make gmake bmake remake", _ALL_CODE),  # it expands variables
    **_each("ssh rsh remsh slogin watch parallel eval", _ALL_CODE),  # by a shell
}  # fmt: skip
"""By the program's name in lower case, without its version."""

_SEARCHED = Starter(searched=True)

STARTERS: Mapping[str, Starter] = {
    "env": Starter(_options(code="-S --split-string", value="-u -C --unset --chdir"), assigns=True),
    **_each("sudo doas", Starter(
        _options(value="-u -g -h -p -C -T -U -D -R -r -t --user --group --host --prompt --chdir --chroot"),
        assigns=True)),
    "nice": Starter(_options(value="-n --adjustment")),
    "ionice": Starter(_options(value="-c -n -p --class --classdata")),
    "time": Starter(_options(value="-f -o --format --output")), "gtime": Starter(_options(value="-f -o")),
    **_each("timeout gtimeout", Starter(
        _options(value="-k -s --kill-after --signal"), words=1)),
    **_each(
        "nohup setsid exec command builtin busybox toybox catchsegv torsocks proxychains4 "
        "dbus-run-session",
        Starter()),
    "stdbuf": Starter(_options(value="-i -o -e --input --output --error")),
    "chrt": Starter(words=1), "taskset": Starter(words=1), "chroot": Starter(words=1), "numactl": _SEARCHED,
    "xargs": Starter(_options(value="-I -n -P -L -d -E -s -a --replace --max-args --max-procs --max-lines --delimiter "
                     "--arg-file --max-chars")),
    "flock": Starter(_options(code="-c --command", value="-w -E --timeout --wait"), words=1),
    **_each("su runuser", Starter(
        _options(code="-c --command --session-command", value="-s -g -G -u -w --shell --group --user"), words=1)),
    "script": Starter(_options(code="-c --command"), words=1),
    "strace": Starter(_options(value="-e -o -p -s -u -E")), "ltrace": Starter(_options(value="-e -o -p -s -u")),
    **_each("nix-shell nix sbatch at batch", Starter(
        _options(code="--run --command -c --wrap"), searched=True)),
    **_each(
        "docker podman nerdctl kubectl oc lxc apptainer singularity udocker charliecloud enroot srun "
        "mpirun mpiexec conda mamba micromamba uv poetry pipenv pdm hatch pixi rye npx npm pnpm yarn "
        "bunx bundle rbenv pyenv asdf mise direnv guix unshare nsenter bwrap firejail systemd-run "
        "dumb-init tini gosu su-exec s6-setuidgid fakeroot faketime xvfb-run wine distrobox toolbox multipass "
        "vagrant wsl",
        _SEARCHED),
}  # fmt: skip
"""By the program's name in lower case."""

SEARCHES = frozenset({"-exec", "-execdir", "-ok", "-okdir"})
"""The options of `find` that are followed by a command, which ends with `;` or `+`."""

CODE_OPTIONS = frozenset(
    ["--eval", "--exec", "--execute", "--to-command", "--checkpoint-action", "--use-compress-program"]
)
"""The options that are followed by code whatever the program is."""

CHOOSING = frozenset(
    "PATH LD_PRELOAD LD_LIBRARY_PATH LD_AUDIT BASH_ENV ENV SHELLOPTS PS4 PROMPT_COMMAND IFS PYTHONPATH PYTHONSTARTUP "  # noqa: SIM905
    "PYTHONHOME PERL5OPT PERL5LIB PERL5DB RUBYOPT RUBYLIB NODE_OPTIONS NODE_PATH R_PROFILE R_PROFILE_USER R_ENVIRON "
    "R_ENVIRON_USER R_LIBS R_LIBS_USER LUA_INIT LUA_PATH JULIA_LOAD_PATH AWKPATH GIT_SSH_COMMAND PAGER EDITOR".split()
)
"""The environment variables that choose what runs."""

_VERSION = pattern(r"[-_]?v?[0-9][\w.-]*$")
_ENDING = pattern(r"\.(?:exe|com|bat|cmd)$")


def name(word: str) -> str:
    """The name by which these tables know a program: without its folder and version, in lower case."""
    last = _ENDING.sub("", re.split(r"[/\\]", word)[-1].lower())
    if last in INTERPRETERS or last in STARTERS or last == "find":
        return last
    return _VERSION.sub("", last) or last
