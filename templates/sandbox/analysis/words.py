"""What the names of libraries mean to the flow from data to outputs. Tables alone; which of them is bad, others decide."""

import re

# Calls that read a table, by the path or handle that they are given.
READERS = re.compile(
    r"(pandas|polars|dask\.dataframe|modin\.pandas|geopandas|cudf|vaex|pyreadstat)\.(read_\w+|scan_\w+|open)"
    r"|numpy\.(load|loadtxt|genfromtxt|fromfile|memmap|recfromcsv)"
    r"|json\.loads?|pickle\.loads?|joblib\.load|h5py\.File|netCDF4\.Dataset|xarray\.open_\w+"
    r"|pyarrow\.\w+\.(read_\w+|open_\w+|ParquetFile)|scipy\.io\.(loadmat|arff\.loadarff)|yaml\.(safe_)?load"
    r"|openpyxl\.load_workbook|PIL\.Image\.open|pydicom\.dcmread|nibabel\.load|sqlite3\.connect"
)
LINES = re.compile(r"csv\.reader")
RECORDS = re.compile(r"csv\.DictReader")

# Many values in, a few numbers out.
AGGREGATES = frozenset(
    "mean sum std var median count size nunique corr cov corrwith quantile sem skew kurt kurtosis mad prod product any all "
    "value_counts agg aggregate describe min max ptp average shape ndim empty crosstab pivot_table histogram bincount "
    "count_nonzero nanmean nansum nanstd nanvar nanmedian nanmin nanmax nanquantile nanpercentile percentile corrcoef "
    "histogram2d digitized_counts fmean fsum mode most_common total score info autocorr hist len ngroups nbytes amin amax "
    "is_unique hasnans geometric_mean harmonic_mean pvariance pstdev variance stdev linear_regression correlation "
    "covariance memory_usage null_count n_unique var_ std_ isempty".split()
)
EXTREMES = frozenset("min max ptp describe nanmin nanmax amin amax quantile percentile mode unique nanquantile".split())
# Their arguments that make one result for each row again.
ROWFUL = frozenset("first last list nth unique idxmax idxmin head tail cumsum cumprod rank shift diff sample".split())
FUNCTIONS = frozenset(  # plain functions that aggregate, whatever they are a part of
    "builtins.len builtins.sum builtins.min builtins.max builtins.any builtins.all math.fsum functools.reduce "
    "collections.Counter pandas.crosstab pandas.pivot_table".split()
)
FAMILIES = ("statistics.", "scipy.stats.", "sklearn.metrics.", "pingouin.", "lifelines.utils.")
ROW_METRICS = frozenset(("sklearn.metrics.roc_curve", "sklearn.metrics.precision_recall_curve", "scipy.stats.rankdata",
                         "scipy.stats.zscore", "sklearn.metrics.pairwise_distances"))  # fmt: skip

# Rows in, the same rows out.
KEEP = frozenset(
    "head tail sample copy reset_index set_index sort_values sort_index query filter loc iloc iat at merge join assign "
    "drop dropna fillna rename astype round abs clip T transpose melt stack unstack explode values to_numpy tolist "
    "to_list to_dict to_records items iterrows itertuples nlargest nsmallest drop_duplicates append insert apply map "
    "where mask replace isin str dt strip lower upper split encode decode format hex flatten ravel reshape squeeze "
    "cumsum cumprod cummax cummin rank shift diff pct_change select with_columns collect to_pandas to_frame read "
    "readline readlines read_text read_bytes get pop keys iteritems get_group nth first last array index set_axis "
    "add sub mul div mod pow eq ne lt le gt ge between combine_first convert_dtypes infer_objects truncate pipe "
    "transform applymap eval xs take fetchall fetchone fetchmany df fetchdf to_string to_csv to_json to_html "
    "to_markdown to_latex rstrip lstrip title splitlines join replace zfill casefold partition rpartition get_text "
    "predict predict_proba predict_log_proba decision_function transform fit_transform fit_predict inverse_transform "
    "kneighbors apply resid fittedvalues labels_ embedding_ support_vectors_".split()
)
BARE = frozenset("columns dtypes dtype shape ndim name names fieldnames line_num is_copy schema feature_names_in_".split())
ROLLING = frozenset("rolling expanding ewm".split())
ROW_RESULTS = frozenset(
    "predict predict_proba predict_log_proba decision_function transform fit_transform fit_predict inverse_transform "
    "kneighbors apply resid fittedvalues labels_ embedding_ support_vectors_ get_influence".split()
)
MODELS = re.compile(
    r"(sklearn|statsmodels|lifelines|xgboost|lightgbm|catboost|imblearn|linearmodels)\..*"
)
NO_MODELS = re.compile(r"sklearn\.(model_selection\.(train_test_split|cross_val_predict)|utils\.|datasets\.|preprocessing\.[a-z])")
KEEPERS = re.compile(  # functions: rows in, rows out
    r"builtins\.(list|tuple|sorted|reversed|set|frozenset|str|repr|float|int|round|abs|format|iter|filter|dict|bytes"
    r"|bytearray|ascii|complex|bool|hex|ord|chr|vars|memoryview|slice)"
    r"|numpy\.\w+|numpy\.(linalg|ma|char|strings)\.\w+|pandas\.(concat|merge|DataFrame|Series|to_numeric|to_datetime|cut|qcut"
    r"|get_dummies|melt|json_normalize|Index|array|isna|notna)|polars\.(concat|DataFrame|Series|col)|copy\.(copy|deepcopy)"
    r"|itertools\.\w+|json\.dumps|pickle\.dumps|base64\.\w+|binascii\.\w+|zlib\.\w+|gzip\.compress|math\.\w+|csv\.\w+"
    r"|pprint\.pformat|io\.(StringIO|BytesIO)|textwrap\.\w+|tabulate\.tabulate|operator\.\w+|os\.p?read|heapq\.\w+|decimal\.\w+"
    r"|sklearn\.model_selection\.(train_test_split|cross_val_predict)|sklearn\.preprocessing\.[a-z]\w+"
)
TABLES = {"DataFrame": "frame", "concat": "frame", "merge": "frame", "json_normalize": "frame", "get_dummies": "frame",
          "melt": "frame", "Series": "series", "cut": "series", "qcut": "series", "to_numeric": "series",
          "array": "series", "asarray": "series", "to_datetime": "series", "where": "series"}  # fmt: skip

# Where something becomes visible: name -> what it is called.
PRINTS = {
    "builtins.print": "print", "pprint.pprint": "print", "pprint.pp": "print", "rich.print": "print",
    "IPython.display.display": "print", "builtins.display": "print", "sys.stdout.write": "print",
    "sys.stderr.write": "print", "sys.stdout.writelines": "print", "sys.__stdout__.write": "print",
    "sys.stdout.buffer.write": "print", "os.write": "print", "warnings.warn": "print", "sys.exit": "exit",
    "builtins.exit": "exit", "builtins.quit": "exit", "os._exit": "exit", "syslog.syslog": "print", "time.sleep": "time",
    "os.utime": "stamp", "os.truncate": "stamp", "os.ftruncate": "stamp",
}  # fmt: skip
LOGS = frozenset("debug info warning warn error exception critical log".split())
# Functions that write their value: name -> (value's place among the arguments, the path's place).
WRITERS = {
    "json.dump": (0, 1), "pickle.dump": (0, 1), "marshal.dump": (0, 1), "joblib.dump": (0, 1), "numpy.save": (1, 0),
    "numpy.savez": (1, 0), "numpy.savez_compressed": (1, 0), "numpy.savetxt": (1, 0), "yaml.dump": (0, 1),
    "yaml.safe_dump": (0, 1), "torch.save": (0, 1), "scipy.io.savemat": (1, 0), "pyreadstat.write_sav": (0, 1),
    "pyarrow.parquet.write_table": (0, 1), "pyarrow.csv.write_csv": (0, 1), "cloudpickle.dump": (0, 1),
    "dill.dump": (0, 1), "imageio.imwrite": (1, 0), "toml.dump": (0, 1),
}  # fmt: skip
# Functions that call what they are given, with what they are given, or with each part of it.
CALLERS = re.compile(r"builtins\.filter|itertools\.(starmap|accumulate)|functools\.reduce|atexit\.register|weakref\.finalize"
                     r"|(threading|multiprocessing)\.(Thread|Timer|Process)|_thread\.start_new_thread|asyncio\.to_thread")
EACH = frozenset("filter starmap accumulate reduce".split())
UNBOUND = re.compile(r"(pandas|polars)\.(DataFrame|Series|LazyFrame)\.\w+|numpy\.ndarray\.\w+")  # pandas.DataFrame.to_csv(frame)
KEEPING = re.compile(  # models that hold the rows they learned from
    r".*\.(KNeighbors\w+|RadiusNeighbors\w+|NearestNeighbors|(Nu)?SV[CR]|OneClassSVM|GaussianProcess\w+|KernelDensity|KernelRidge"
    r"|LocalOutlierFactor|Label(Propagation|Spreading))"
)
OF_ROWS = frozenset("resid fittedvalues labels_ embedding_ support_vectors_ support_ _fit_X X_train_ y_train_ oob_prediction_".split())
COPIES = frozenset("shutil.copy shutil.copy2 shutil.copyfile shutil.copytree shutil.move os.rename os.replace os.link "
                   "os.symlink shutil.copyfileobj shutil.make_archive os.sendfile os.splice os.copy_file_range".split())  # fmt: skip
FILES = re.compile(  # calls whose first argument is a path that is looked at
    r"builtins\.open|io\.open|codecs\.open|os\.(open|listdir|walk|scandir|stat|lstat|readlink|chmod|chown|remove|unlink"
    r"|mkdir|makedirs|rmdir|access|mkfifo|chdir|chroot)|glob\.i?glob|shutil\.(rmtree|disk_usage)|os\.path\.(exists|isfile"
    r"|isdir|getsize|islink)|gzip\.open|bz2\.open|lzma\.open|zipfile\.ZipFile|tarfile\.open|linecache\.getlines?"
    r"|mmap\.mmap|fileinput\.input|pathlib\.Path\.\w+"
)
OPENS = re.compile(r"builtins\.open|io\.open|codecs\.open|gzip\.open|bz2\.open|lzma\.open|zipfile\.ZipFile|tarfile\.open"
                   r"|fileinput\.input|linecache\.getlines?")
PATHS = re.compile(
    r"pathlib\.\w*Path|os\.path\.(join|abspath|normpath|realpath|expanduser|expandvars|dirname)|os\.fspath|builtins\.str"
)
# Each point, cell or word of these charts is a row's own.
POINTS = frozenset("scatter plot stem step imshow matshow pcolormesh pcolor text annotate table stripplot swarmplot "
                   "scatterplot lineplot rugplot eventplot plot_date loglog semilogx semilogy scatter3D plot3D relplot "
                   "pairplot jointplot lmplot regplot line title suptitle figtext xlabel ylabel set_title set_xlabel set_ylabel "
                   "xticks yticks set_xticklabels set_yticklabels legend".split())  # fmt: skip
GROUPED_CHARTS = frozenset("hist box kde density hexbin boxplot violin violinplot".split())
PLOTTING = ("matplotlib", "seaborn", "plotly", "altair", "bokeh")

# What turns hidden text into code.
DECODERS = re.compile(
    r"base64\.\w*decode\w*|binascii\.(unhexlify|a2b_\w+)|codecs\.(decode|getdecoder)|zlib\.decompress|gzip\.decompress"
    r"|bz2\.decompress|lzma\.decompress|marshal\.loads|builtins\.(chr|bytes|bytearray)|urllib\.parse\.unquote\w*"
    r"|pickle\.loads|builtins\.bytes\.fromhex|html\.unescape|quopri\.decodestring|cryptography\..*decrypt"
)
DECODING = frozenset("decode fromhex decrypt translate unhexlify".split())
SUSPICIOUS = frozenset(
    "__subclasses__ __globals__ __builtins__ __bases__ __base__ __mro__ __code__ __closure__ __getattribute__ __reduce__ "
    "__reduce_ex__ __import__ __loader__ __spec__ f_globals f_locals f_back f_builtins gi_frame cr_frame tb_frame "
    "co_code __dict__ __self__ func_globals __init_subclass__ __wrapped__".split()
)
HARMLESS = frozenset("__name__ __file__ __doc__ __init__ __main__ __version__ __class__ __len__ __all__".split())
