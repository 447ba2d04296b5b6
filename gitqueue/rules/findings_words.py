"""Names of libraries and programs, by what they can do: the tables of `findings`."""

import re

NETWORK = re.compile(
    r"(socket|ssl|http\.(client|server|cookiejar)|urllib\.(request|robotparser)|urllib2|urllib3|requests|httpx|aiohttp"
    r"|httplib2?|ftplib|smtplib|smtpd|telnetlib|poplib|imaplib|nntplib|xmlrpc|socketserver|paramiko|fabric|boto3?"
    r"|botocore|s3fs|gcsfs|google\.cloud|azure|websockets?|zmq|grpc|pycurl|dns|scapy|wget|gdown|kagglehub|pymongo|psycopg2?"
    r"|pymysql|mysql|redis|huggingface_hub|pip|torch\.hub|twisted|tornado|flask|fastapi|uvicorn|webbrowser)\."
    r"|asyncio\.(open_connection|start_server)|datasets\.load_dataset|sklearn\.datasets\.fetch_|seaborn\.load_dataset"
    r"|statsmodels\.datasets\.get_rdataset|nltk\.download|pandas_datareader|tensorflow\.keras\.utils\.get_file"
)
NETWORK_COMMANDS = re.compile(
    r"curl|wget|nc|ncat|netcat|ssh|scp|sftp|rsync|ftp|lftp|tftp|telnet|ping6?|dig|nslookup|host|socat|git|pip[0-9.]*|conda"
    r"|mamba|npm|apt|apt-get|aria2c|http|https|aws|gsutil|gcloud|az|rclone|smbclient|mail|sendmail|mutt|traceroute|nmap"
    r"|openvpn|whois|lynx|w3m|links|uv|/dev/tcp"
)
PROCESSES = re.compile(
    r"os\.(system|popen|exec\w*|spawn\w*|posix_spawnp?|fork|forkpty|startfile|kill|killpg)$|subprocess\.|pty\.|pexpect\."
    r"|commands\.|popen2\.|plumbum\.|sh\.[a-z]|asyncio\.create_subprocess_\w+|asyncio\.subprocess\.|platform\.popen"
    r"|(builtins|IPython)\.get_ipython\(\)\.(system\w*|getoutput|run_\w+_magic|run_cell\w*)|invoke\.run"
)
RIGHTS = re.compile(r"sudo|su|doas|pkexec|chroot|nsenter|unshare|mount|umount|insmod|modprobe|setcap|mkfs\w*|dd|crontab"
                    r"|at|gdb|strace|ptrace|iptables|useradd|passwd|systemctl|shutdown|reboot")  # fmt: skip

# What runs text or bytes as code: names, and what they do.
DYNAMIC = (
    (re.compile(r"builtins\.(eval|exec|compile)|code\.\w+|codeop\.\w+|runpy\.\w+|types\.(CodeType|FunctionType)"
                r"|builtins\.execfile|pandas\.eval|numexpr\.evaluate"), "runs text as code"),
    (re.compile(r"builtins\.__import__|importlib\.(import_module|__import__|reload|machinery\.\w+|util\.spec_from_\w+"
                r"|util\.module_from_spec)|imp\.\w+|zipimport\.\w+|pkgutil\.\w+"),
     "loads code by a name that is made as it runs"),
    (re.compile(r"(pickle|cPickle|_pickle|dill|cloudpickle|shelve|jsonpickle)\.(loads?|open|decode|Unpickler)"
                r"|joblib\.load|torch\.load|pandas\.read_pickle|numpy\.load|marshal\.loads?|yaml\.(load|unsafe_load|full_load)"
                r"|keras\.models\.load_model|tensorflow\.keras\.models\.load_model"),
     "runs whatever code the file that it loads holds"),
    (re.compile(r"ctypes\.\w+(\.\w+)*|cffi\.\w+|_ctypes\.\w+|numba\.\w+\.exec\w*|llvmlite\.\w+(\.\w+)*|mmap\.PROT_EXEC"
                r"|rpy2\.robjects\.r"),
     "runs code that is not Python, past all that can be read here"),
    (re.compile(r"sys\.(settrace|setprofile|meta_path|path_hooks|addaudithook|_getframe)(\.\w+)*|gc\.get_(objects|referrers)"
                r"|inspect\.(currentframe|stack|getframeinfo)|atexit\._\w+|builtins\.breakpoint"),
     "reaches into the running interpreter"),
)  # fmt: skip

# Reached by a spelled name, these are hidden on purpose.
DANGEROUS = re.compile(
    r"(os|posix|nt)\.(system|popen|exec|spawn|fork|posix_spawn|kill|remove|unlink)|subprocess|socket|ctypes|pty|shutil\.rmtree"
    r"|builtins\.(eval|exec|compile|__import__|open|getattr|print)|urllib\.request|requests|http\.client|marshal|pickle"
    r"|importlib|sys\.modules|codecs|base64"
)

RANDOM = re.compile(
    r"random\.(random|randint|randrange|choices?|shuffle|sample|uniform|gauss|normalvariate|betavariate|expovariate"
    r"|triangular|lognormvariate|getrandbits)"
    r"|numpy\.random\.(rand|randn|randint|random|random_sample|choice|shuffle|permutation|normal|uniform|binomial|poisson"
    r"|exponential|beta|gamma|standard_normal|multivariate_normal|sample|bytes|laplace|lognormal)"
    r"|torch\.(rand|randn|randint|randperm)|tensorflow\.random\.(normal|uniform|shuffle)"
)
SEEDS = re.compile(
    r"random\.(seed|Random)|numpy\.random\.(seed|default_rng|RandomState|SeedSequence|Generator|PCG64|MT19937)"
    r"|torch\.manual_seed|tensorflow\.random\.set_seed|(tensorflow\.)?keras\.utils\.set_random_seed"
    r"|pytorch_lightning\.seed_everything"
)
SPLITS = re.compile(
    r"sklearn\.model_selection\.(train_test_split|(Stratified)?ShuffleSplit|GroupShuffleSplit|RandomizedSearchCV)"
    r"|sklearn\.ensemble\.(RandomForest|ExtraTrees|Bagging|IsolationForest)\w*|sklearn\.cluster\.\w*KMeans"
    r"|sklearn\.manifold\.TSNE|sklearn\.neural_network\.MLP\w+|sklearn\.utils\.(shuffle|resample)|umap\.UMAP"
)

# bandit's tests that concern a job, and what they are here.
BANDIT = {
    **dict.fromkeys(("B102", "B301", "B302", "B307", "B506", "B614"), "dynamic code"),
    **dict.fromkeys(("B104", "B310", "B312", "B321", "B402", "B401", "B411", "B501", "B502", "B503", "B504", "B507",
                     "B601", "B615"), "network"),
    **dict.fromkeys(("B602", "B603", "B604", "B605", "B606", "B607", "B609"), "subprocess"),
    "B613": "invisible characters",
}  # fmt: skip
