#!/usr/bin/env python3
"""How the house is built: formatting, who may know which task it is, the size of files and folders, what headers of lib pull
in, and that lib ends no process. One line a violation.

  TEMPER_SOURCE=. tests/apps/layout.py
"""
import os
import re
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

SOURCE = Path(os.environ["TEMPER_SOURCE"]).resolve()
CLANG_FORMAT = 14  # another one breaks lines elsewhere
FILE_LINES = 480
FOLDER_UNITS = 27  # foo.h and foo.cc are one
KNOWS_TASK = re.compile(  # by its name, or by its struct
    r"\btask(?:_name)?\s*[=!]=|[=!]=\s*(?:\w+(?:\.|->))*task(?:_name)?\b|cast<[^<>]*\w+Task\b")
ENDS_PROCESS = re.compile(r"\b(?:abort|exit|quick_exit|terminate)\s*\(")  # _exit ends a forked child


def files(*rooms):
    return sorted(p for room in rooms for p in (SOURCE / room).rglob("*") if p.suffix in (".h", ".cc"))


def name(path):
    return str(path.relative_to(SOURCE))


def lines(path):
    return path.read_text(encoding="utf-8").splitlines()


def formatting():
    program = shutil.which(f"clang-format-{CLANG_FORMAT}") or shutil.which("clang-format")
    if not program:
        print(f"no clang-format here: formatting is not checked (apt-get install clang-format; version {CLANG_FORMAT})")
        return
    version = subprocess.run([program, "--version"], capture_output=True, text=True, check=True).stdout
    found = re.search(r"version (\d+)", version)
    if not found or int(found[1]) != CLANG_FORMAT:
        print(f"clang-format {CLANG_FORMAT} wanted, found {version.strip()}: formatting is not checked")
        return
    command = [program, "--dry-run", "-Werror", "--style=file"]
    sources = files("lib", "apps", "tests")
    batches = [sources[i : i + 16] for i in range(0, len(sources), 16)]
    with ThreadPoolExecutor(2) as pool:
        results = pool.map(lambda batch: subprocess.run(command + batch, capture_output=True, text=True), batches)
        for batch, result in zip(batches, results):
            told = set()
            for path, line in re.findall(r"^(\S+?):(\d+):\d+: error: ", result.stderr, re.M):
                if path not in told:
                    where = name(Path(path))
                    yield f"{where}:{line}: not formatted; run clang-format -i {where}"
                told.add(path)
            if result.returncode != 0 and not told:
                yield f"clang-format failed on {name(batch[0])} or one of the {len(batch) - 1} after it: {result.stderr.strip()}"


def tasks():
    for path in files("lib", "apps"):
        if name(path).startswith("lib/task/"):
            continue
        for number, line in enumerate(lines(path), 1):
            if KNOWS_TASK.search(line):
                yield f"{name(path)}:{number}: asks which task it is; what differs between tasks belongs in lib/task/: {line.strip()}"


def sizes():
    for path in files("lib", "apps"):
        length = len(lines(path))
        if length > FILE_LINES:
            yield f"{name(path)}: {length} lines; at most {FILE_LINES}, so divide it by what it does"
    folders = {}
    for path in files("lib"):
        folders.setdefault(path.parent, set()).add(path.stem)
    for folder, units in sorted(folders.items()):
        if len(units) > FOLDER_UNITS:
            yield f"{name(folder)}: {len(units)} units (foo.h and foo.cc are one); at most {FOLDER_UNITS}, so give a part a folder"


def headers():
    for path in files("lib"):
        for number, line in enumerate(lines(path), 1):
            if path.suffix == ".h" and re.match(r"\s*#\s*include\s*[<\"]torch/torch\.h", line):
                yield f"{name(path)}:{number}: a header includes <torch/torch.h>; <ATen/core/Tensor.h> or <torch/types.h> will do"


def endings():
    for path in files("lib"):
        for number, line in enumerate(lines(path), 1):
            if ENDS_PROCESS.search(line.split("//")[0]):
                yield f"{name(path)}:{number}: lib ends no process, it throws (base/error.h): {line.strip()}"


def main():
    if len(files("lib", "apps", "tests")) < 100:
        sys.exit(f"FAIL: {SOURCE} is not Temper's source folder: hardly a file in lib, apps and tests")
    failed = 0
    for check in (formatting, tasks, sizes, headers, endings):
        for problem in check():
            print("FAIL:", problem)
            failed += 1
    if failed:
        sys.exit(f"{failed} violation{'s' if failed > 1 else ''}")
    print("ok")


if __name__ == "__main__":
    main()
