#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Kills, stops and misconfigures ranks of a run, and checks that the others end in time and say why.

The driver's watchdog gives up after 2.5 s of silence; programs wait 20 s by default.
"""
import argparse
import concurrent.futures
import os
import pathlib
import re
import signal
import socket
import subprocess
import sys
import time

LAUNCH = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "launch"
IN_TIME = 15  # seconds; far less than 60, and far more than a fault takes on an idle machine
WATCHDOG, ERROR = 3, 4


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


class Run:
    """Ranks of one run, what they print, and how they ended."""

    def __init__(self, driver, scenario, size, started=None, timeout_ms=60000, stderr=subprocess.DEVNULL):
        port = str(free_port())
        self.ranks = {}
        for rank in range(size) if started is None else started:
            environment = {
                **os.environ, "RANK": str(rank), "WORLD_SIZE": str(size), "LOCAL_RANK": str(rank),
                "LOCAL_WORLD_SIZE": str(size), "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": port,
                "FAULT_TIMEOUT_MS": str(timeout_ms), "OMP_NUM_THREADS": "1"}
            self.ranks[rank] = subprocess.Popen([driver, scenario], env=environment, stdout=subprocess.PIPE,
                                                stderr=stderr, text=True)

    def wait_until_waiting(self, rank):
        for line in self.ranks[rank].stdout:
            if line == "WAITING\n":
                return
        raise AssertionError(f"rank {rank} ended before the fault")

    def outcome(self, rank):
        """Exit code, the output since then, and its last line."""
        process = self.ranks[rank]
        try:
            out, _ = process.communicate(timeout=60)
        except subprocess.TimeoutExpired:
            self.kill()
            raise AssertionError(f"rank {rank} did not end") from None
        return process.returncode, out, (out.splitlines() or [""])[-1]

    def kill(self):
        for process in self.ranks.values():
            if process.poll() is None:
                process.kill()


def expect(condition, what):
    if not condition:
        raise AssertionError(what)


def survivors_say(run, ranks, code, *patterns):
    begin = time.monotonic()
    said = []
    for rank in ranks:
        returned, out, last = run.outcome(rank)
        expect(returned == code, f"rank {rank} ended with {returned}, expected {code}:\n{out}")
        for pattern in patterns:
            expect(re.search(pattern, last), f"rank {rank} did not say '{pattern}':\n{out}")
        said.append(last)
    seconds = time.monotonic() - begin
    expect(seconds < IN_TIME, f"took {seconds:.1f} s")
    return seconds, said


def named(run, rank):
    return rf"rank {rank} \(host \S+, pid {run.ranks[rank].pid}\)"


def killed_in_a_collective(driver):
    run = Run(driver, "wait 1", 3)
    run.wait_until_waiting(1)
    run.ranks[1].kill()
    seconds, said = survivors_say(run, (0, 2), WATCHDOG, named(run, 1) + r" has been silent for [2-9]\.\d s",
                                  "its last step was 5", "out of memory", "from the last checkpoint")
    expect(len(set(said)) == 1, f"ranks disagree: {said}")
    return seconds


def stopped_in_a_collective(driver):
    run = Run(driver, "wait 1", 3)
    run.wait_until_waiting(1)
    run.ranks[1].send_signal(signal.SIGSTOP)
    # Gloo does not detect it, so the collective would last for a minute.
    seconds, said = survivors_say(run, (0, 2), WATCHDOG, named(run, 1) + r" has been silent for [2-9]\.\d s",
                                     "its last step was 5")
    expect(len(set(said)) == 1, f"ranks disagree: {said}")
    # When the stopped rank resumes, it ends too and does not report that the others were silent.
    run.ranks[1].send_signal(signal.SIGCONT)
    survivors_say(run, (1,), WATCHDOG, "the store of the run is lost")
    return seconds


def store_host_killed(driver):
    run = Run(driver, "wait 0", 3)
    run.wait_until_waiting(0)
    run.ranks[0].kill()
    return survivors_say(run, (1, 2), WATCHDOG, "the store of the run is lost", named(run, 0),
                         r"last heard from \d+\.\d s ago, its last step was 5", "start them again")[0]


def store_host_stopped(driver):
    run = Run(driver, "wait 0", 3)
    run.wait_until_waiting(0)
    run.ranks[0].send_signal(signal.SIGSTOP)
    seconds, said = survivors_say(run, (1, 2), WATCHDOG, r"it has not answered for [2-9]\.\d s", named(run, 0),
                                  "its last step was 5")
    expect("rank 2" not in said[0] and "rank 1" not in said[1], f"a healthy rank was accused: {said}")
    run.ranks[0].kill()
    run.outcome(0)
    return seconds


def rank_raises(driver):
    run = Run(driver, "error", 3)
    seconds, said = survivors_say(run, (0, 1), WATCHDOG, named(run, 2) + " ended", "before the run was over",
                                  "its last step was 5", "raised an error")
    expect(len(set(said)) == 1, f"ranks disagree: {said}")
    survivors_say(run, (2,), ERROR, "no data left")
    return seconds


def rank_is_stuck(driver):
    run = Run(driver, "stall", 3)
    run.wait_until_waiting(2)
    seconds, said = survivors_say(run, (0, 1, 2), WATCHDOG, named(run, 2),
                                  r"is alive but has made no progress for [2-9]\.\d s", "its last step was 4, others are at step 5",
                                  f"gdb -p {run.ranks[2].pid}")
    expect(len(set(said)) == 1, f"ranks disagree: {said}")
    return seconds


def rank_never_starts(driver):
    run = Run(driver, "clean", 3, started=(0, 2), timeout_ms=2000)
    seconds, _ = survivors_say(run, (0, 2), ERROR, "only 2 of 3 ranks arrived within 2000 ms; missing: 1")
    expect(seconds < 8, f"took {seconds:.1f} s")
    return seconds


def nobody_listens(driver):
    run = Run(driver, "clean", 3, started=(1, 2), timeout_ms=2000)
    seconds, _ = survivors_say(run, (1, 2), ERROR, "could not reach rank 0 at 127.0.0.1:.* within 2000 ms")
    expect(seconds < 6, f"took {seconds:.1f} s")
    return seconds


def configuration_differs(driver):
    run = Run(driver, "configuration", 3)
    return survivors_say(run, (0, 1, 2), ERROR,
                         r"the settings differ: batch_size: rank 1 has '512', rank 0 has '256'; start all")[0]


def launch(driver, scenario, size, *options):
    """The output of scripts/launch and its ranks, its exit code and its duration."""
    begin = time.monotonic()
    done = subprocess.run([sys.executable, str(LAUNCH), "-n", str(size), *options, "--", driver, scenario],
                          env={**os.environ, "FAULT_TIMEOUT_MS": "2000", "OMP_NUM_THREADS": "1"},
                          stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, timeout=60)
    return done.stdout, done.returncode, time.monotonic() - begin


def rank_dies_on_its_flags(driver):
    out, code, seconds = launch(driver, "flags", 3)
    expect(code == ERROR, f"launch ended with {code}:\n{out}")
    expect("[1] ERROR no such flag" in out and "launch: rank 1 ended with 4" in out, out)
    for rank in (0, 2):
        expect(f"[{rank}] ERROR process group: only 2 of 3 ranks arrived within 2000 ms; missing: 1" in out, out)
    expect(seconds < IN_TIME, f"took {seconds:.1f} s")
    # With the default times, launch must not kill the ranks before they have named the missing rank.
    grace = int(re.search(r"2 still running, for at most (\d+) s", out)[1])
    arrival = int(re.search(r"ARRIVAL (\d+)", launch(driver, "options", 1)[0])[1])
    expect(grace >= arrival + 20, f"launch kills after {grace} s, but ranks wait {arrival} s for each other")
    return seconds


def default_handler_ends_the_process(driver):
    run = Run(driver, "default handler wait 1", 3, stderr=subprocess.STDOUT)
    run.wait_until_waiting(1)
    run.ranks[1].kill()
    return survivors_say(run, (0, 2), 1, "^" + named(run, 1) + r" has been silent for [2-9]\.\d s")[0]


def features_are_not_finite(driver):
    run = Run(driver, "nan", 3)
    return survivors_say(run, (0, 1, 2), ERROR, "the features of rank 2 are not finite",
                         "resume from the last checkpoint")[0]


def all_is_well(driver):
    run = Run(driver, "clean", 3)  # rank 0 ends a second before the others
    return survivors_say(run, (0, 1, 2), 0, "^END$")[0]


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--driver", required=True, help="the program fault_driver")
    driver = parser.parse_args().driver
    checks = (killed_in_a_collective, stopped_in_a_collective, store_host_killed, store_host_stopped, rank_raises,
              rank_is_stuck, rank_never_starts, nobody_listens, rank_dies_on_its_flags,
              default_handler_ends_the_process, configuration_differs, features_are_not_finite, all_is_well)
    failed = False
    with concurrent.futures.ThreadPoolExecutor(4) as pool:  # they mostly wait
        futures = {check.__name__: pool.submit(check, driver) for check in checks}
        for name, future in futures.items():
            try:
                print(f"{name}: all ended after {future.result():.1f} s", flush=True)
            except AssertionError as fault:
                print(f"{name}: FAILED: {fault}", flush=True)
                failed = True
    sys.exit(1 if failed else 0)


if __name__ == "__main__":
    main()
