#!/usr/bin/env python3
# SPDX-FileCopyrightText: 2026 The Contrapunto Authors
# SPDX-License-Identifier: Apache-2.0
"""Checks scripts/launch with small programs as ranks."""
import os
import pathlib
import signal
import subprocess
import sys
import time
import unittest

LAUNCH = pathlib.Path(__file__).resolve().parents[2] / "scripts" / "launch"


def command(program, *options, ranks=2):
    return [sys.executable, str(LAUNCH), "-n", str(ranks), *options, "--", sys.executable, "-u", "-c", program]


def launch(program, *options, ranks=2, environment=None):
    begin = time.monotonic()
    done = subprocess.run(command(program, *options, ranks=ranks), capture_output=True, text=True, timeout=60,
                          env={**os.environ, **(environment or {})})
    return done.returncode, done.stdout, done.stderr, time.monotonic() - begin


def alive(pid):
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return pathlib.Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"


RANK = "import os, signal, sys, time; rank = int(os.environ['RANK']); "


class Launch(unittest.TestCase):
    def test_variables_of_each_rank(self):
        names = ("RANK", "WORLD_SIZE", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT")
        show = f"import os; print(*(os.environ[n] for n in {names}), os.environ.get('TORCHELASTIC_USE_AGENT_STORE'))"
        code, out, err, _ = launch(show, ranks=3, environment={"TORCHELASTIC_USE_AGENT_STORE": "True"})
        self.assertEqual((code, err), (0, ""))
        lines = sorted(out.splitlines())
        ports = {line.split()[-2] for line in lines}
        self.assertEqual(len(ports), 1)
        port = ports.pop()
        self.assertGreater(int(port), 1023)
        self.assertEqual(lines, [f"[{r}] {r} 3 {r} 3 127.0.0.1 {port} None" for r in range(3)])
        _, out, _, _ = launch("import os; print(os.environ['MASTER_PORT'])", "--port", "23456", ranks=1)
        self.assertEqual(out, "[0] 23456\n")

    def test_cores_are_divided_unless_the_user_has(self):
        show = "import os; print(os.environ['OMP_NUM_THREADS'])"
        without = {k: v for k, v in os.environ.items() if k != "OMP_NUM_THREADS"}
        done = subprocess.run(command(show, ranks=1), capture_output=True, text=True, env=without, timeout=60)
        self.assertEqual(done.stdout, f"[0] {len(os.sched_getaffinity(0))}\n")
        done = subprocess.run(command(show, ranks=2), capture_output=True, text=True, env=without, timeout=60)
        self.assertEqual(done.stdout.split()[1], str(max(1, len(os.sched_getaffinity(0)) // 2)))
        self.assertEqual(launch(show, ranks=1, environment={"OMP_NUM_THREADS": "7"})[1], "[0] 7\n")

    def test_arguments_after_the_program_are_its_own(self):
        done = subprocess.run([sys.executable, str(LAUNCH), "-n", "1", sys.executable, "-c",
                               "import sys; print(sys.argv[1:])", "-n", "5", "--help", "--", "a b"],
                              capture_output=True, text=True, timeout=60)
        self.assertEqual(done.stdout, "[0] ['-n', '5', '--help', '--', 'a b']\n")

    def test_lines_stay_whole(self):
        code, out, _, _ = launch("import sys\nfor i in range(2000): print('x' * 100)\n"
                                 "sys.stderr.write('no end of line')", ranks=4)
        self.assertEqual(code, 0)
        lines = out.splitlines()
        self.assertEqual(len(lines), 4 * 2001)
        for rank in range(4):
            self.assertEqual(lines.count(f"[{rank}] {'x' * 100}"), 2000)
            self.assertEqual(lines.count(f"[{rank}] no end of line"), 1)

    def test_a_failed_rank_gives_the_others_their_time(self):
        code, out, err, seconds = launch(RANK + "time.sleep(0 if rank else 1.5); print('done'); sys.exit(3 * rank)")
        self.assertEqual(code, 3)
        self.assertIn("[0] done\n", out)
        self.assertIn("rank 1 ended with 3; 1 still running, for at most 90 s", err)
        self.assertLess(seconds, 20)

    def test_after_the_grace_ranks_are_killed_with_their_children(self):
        program = RANK + ("import subprocess\n"
                          "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                          "if rank == 1: sys.exit(9)\n"
                          "child = subprocess.Popen(['sleep', '300'])\n"
                          "print(os.getpid(), child.pid)\n"
                          "time.sleep(300)")
        code, out, err, seconds = launch(program, "--grace", "1", ranks=3)
        self.assertEqual(code, 9)
        self.assertIn("killing ranks 0, 2", err)
        self.assertIn("was ended by SIGKILL", err)
        self.assertLess(seconds, 20)
        pids = [int(p) for line in out.splitlines() for p in line.split()[1:]]
        self.assertEqual(len(pids), 4)
        self.assertEqual([p for p in pids if alive(p)], [])

    def test_a_killed_rank_is_a_failure(self):
        code, _, err, _ = launch(RANK + "os.kill(os.getpid(), signal.SIGKILL) if rank == 0 else None")
        self.assertEqual(code, 128 + 9)
        self.assertIn("rank 0 was ended by SIGKILL", err)

    def test_signals_reach_every_rank_once(self):
        program = RANK + ("\ncount = 0\n"
                          "def stop(number, frame):\n"
                          "    global count\n    count += 1\n    print('got', number)\n"
                          "for n in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP): signal.signal(n, stop)\n"
                          "print('ready')\n"
                          "while not count: time.sleep(0.05)\n"
                          "time.sleep(0.5); sys.exit(0 if count == 1 else 4)")
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            # The process has a group of its own, and the signal goes to the whole group, as Ctrl-C in a terminal does.
            process = subprocess.Popen(command(program), stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
                                       start_new_session=True)
            lines = [process.stdout.readline() for _ in range(2)]
            self.assertEqual(sorted(lines), ["[0] ready\n", "[1] ready\n"])
            os.killpg(process.pid, number)
            out, err = process.communicate(timeout=30)
            self.assertEqual(process.returncode, 0, err)
            self.assertEqual(sorted(out.splitlines()), [f"[0] got {int(number)}", f"[1] got {int(number)}"])
            self.assertIn(f"passing {number.name} on", err)

    def test_mistakes_are_explained(self):
        for arguments, expected in ((["-n", "2"], "no program to start"), (["-n", "0", "true"], "at least 1 rank"),
                                    (["true"], "-n/--ranks"), (["-n", "1", "./no-such-program"], "cannot start")):
            done = subprocess.run([sys.executable, str(LAUNCH), *arguments], capture_output=True, text=True, timeout=60)
            self.assertNotEqual(done.returncode, 0)
            self.assertIn(expected, done.stderr)
            self.assertNotIn("Traceback", done.stderr)
        done = subprocess.run([sys.executable, str(LAUNCH), "--help"], capture_output=True, text=True, timeout=60)
        self.assertEqual(done.returncode, 0)
        for word in ("MASTER_PORT", "--grace", "examples:", "Ctrl-C"):
            self.assertIn(word, done.stdout)


if __name__ == "__main__":
    unittest.main()
