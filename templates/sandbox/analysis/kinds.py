"""What a file is, by its content first; its name only tells one kind of text from another."""

import os
import re

HEAD = 1 << 16
PROGRAMS = (b"\x7fELF", b"MZ", b"\xcf\xfa\xed\xfe", b"\xce\xfa\xed\xfe", b"\xca\xfe\xba\xbe", b"\0asm", b"dex\n")
MAGIC = (
    (b"\x89PNG\r\n\x1a\n", "png"), (b"\x93NUMPY", "npy"), (b"%PDF-", "pdf"), (b"PK\x03\x04", "zip"), (b"\x1f\x8b", "gzip"),
    (b"BZh", "bzip2"), (b"\xfd7zXZ", "xz"), (b"7z\xbc\xaf", "7z"), (b"SQLite format 3", "sqlite"), (b"PAR1", "parquet"),
    (b"\x89HDF", "hdf5"), (b"\xff\xd8\xff", "jpeg"), (b"GIF8", "gif"), (b"\x80\x02", "pickle"), (b"\x80\x03", "pickle"),
    (b"\x80\x04", "pickle"), (b"\x80\x05", "pickle"), (b"\xd0\xcf\x11\xe0", "office"), (b"RDX", "rdata"), (b"Rar!", "rar"),
)  # fmt: skip
SUFFIXES = {".py": "python", ".pyi": "python", ".pyw": "python", ".sh": "shell", ".bash": "shell", ".ipynb": "notebook",
            ".r": "R", ".rmd": "R", ".qmd": "R", ".jl": "Julia", ".sql": "SQL", ".js": "JavaScript", ".pl": "Perl",
            ".rb": "Ruby", ".c": "C", ".cpp": "C++", ".h": "C", ".java": "Java", ".do": "Stata", ".sas": "SAS",
            ".awk": "awk", ".stan": "Stan", ".m": "MATLAB", ".go": "Go", ".rs": "Rust", ".lua": "Lua", ".pyx": "Cython"}  # fmt: skip
SHEBANG = re.compile(rb"#![^\n]*?\b(python|bash|dash|zsh|ksh|sh|Rscript|perl|julia|ruby|node|awk)[0-9.]*\b")
BY_SHEBANG = {b"python": "python", b"bash": "shell", b"dash": "shell", b"zsh": "shell", b"ksh": "shell", b"sh": "shell",
              b"Rscript": "R", b"perl": "Perl", b"julia": "Julia", b"ruby": "Ruby", b"node": "JavaScript", b"awk": "awk"}  # fmt: skip


def kind(path, name, asked):
    """python, shell, notebook, another language's name, text, program, a known binary's name, or unknown."""
    with open(path, "rb") as file:
        head = file.read(HEAD)
    if asked in ("python", "shell"):
        return asked
    suffix = os.path.splitext(name)[1].lower()
    if head.startswith(PROGRAMS) or suffix in (".so", ".pyc", ".pyd", ".dll"):
        return "program"
    for magic, what in MAGIC:
        if head.startswith(magic):
            return what
    found = SHEBANG.match(head)
    if found:
        return BY_SHEBANG[found[1]]
    if suffix in SUFFIXES:
        return SUFFIXES[suffix]
    return "text" if is_text(head, os.path.getsize(path) > len(head)) else "unknown"


def is_text(head, more):
    for cut in range(4 if more else 1):
        try:
            text = head[: len(head) - cut].decode("utf-8")
        except UnicodeDecodeError:
            continue
        return not any(ord(one) < 32 and one not in "\t\r\n\f" for one in text)
    return False
