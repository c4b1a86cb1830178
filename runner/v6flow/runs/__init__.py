"""Runs: started, resumed, decided on and cancelled; where the concrete parts are picked and put together."""
