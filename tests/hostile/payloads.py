"""Calls that a malicious pickle would make, in every way in which a pickle can say them.

Each would leave the file ``hostile-marker`` in the working folder if it ran, or fail harmlessly
after an audit event.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from hostile.opcodes import name, number, text, value

MARKER = "hostile-marker"
_SHELL = f"touch {MARKER}"
_CODE = f"open({MARKER!r}, 'w').close()"

_WITH_SHELL = """
os.system os.popen posix.system nt.system posix.popen nt.popen os.execl os.execlp os.startfile
subprocess.getoutput subprocess.getstatusoutput commands.getoutput popen2.popen3 popen2.popen2
pty.spawn asyncio.create_subprocess_shell asyncio.subprocess.create_subprocess_shell
webbrowser.open antigravity.webbrowser.open distutils.file_util.write_file pip.main
pip._internal.main ensurepip.bootstrap idlelib.run.main imaplib.IMAP4_stream smtpd.SMTPServer
xmlrpc.server.SimpleXMLRPCServer numpy.f2py.crackfortran.getlincoef
numpy.distutils.exec_command.exec_command torch.utils.collect_env.run
torch.utils.cpp_extension.load_inline bdb.Bdb.run distutils.spawn.spawn
_osx_support._read_output _aix_support._read_cmd_output uuid._get_command_stdout uuid._popen
platform.popen ctypes.util._findSoname_ldconfig cgitb.lookup trace.Trace.run
"""
_WITH_CODE = """
builtins.eval builtins.exec builtins.compile __builtin__.eval __builtin__.exec
__builtin__.execfile __builtin__.compile timeit.timeit timeit.repeat timeit.main code.interact
code.InteractiveInterpreter code.InteractiveConsole.runcode codeop.compile_command pdb.run
pdb.runeval pdb.runcall pdb.Pdb cProfile.run cProfile.runctx profile.run profile.runctx
profile.Profile.run trace.main doctest.debug_script doctest.debug_src
numpy.testing._private.utils.runstring numpy.core._exceptions.eval numexpr.evaluate
torch.jit.unsupported_tensor_ops.execWrapper torch._dynamo.guards.GuardBuilder.get
idlelib.pyshell.ModifiedInterpreter.runcode idlelib.debugobj.ObjectTreeItem.SetText
idlelib.calltip.get_entity idlelib.autocomplete.AutoComplete.get_entity
lib2to3.pgen2.grammar.Grammar.loads sympy.sympify pandas.eval tensorflow.python.eval
site.execsitecustomize aifc.open pydoc.pipepager pydoc.tempfilepager sqlite3.connect
test.support.script_helper.assert_python_ok dataclasses._create_fn collections.namedtuple
"""
_WITH_PATH = """
builtins.open __builtin__.open __builtin__.file io.open io.FileIO _io.FileIO codecs.open os.open
os.remove os.unlink os.rmdir os.mkdir os.makedirs os.chdir os.chmod os.mkfifo os.putenv
os.removedirs shutil.rmtree shutil.make_archive tempfile.mkdtemp pathlib.Path.touch
pathlib.Path.write_text pickle.load pickle.loads pickle.Unpickler _pickle.load _pickle.loads
cloudpickle.loads dill.loads joblib.load shelve.open dbm.open dbm.dumb.open marshal.loads
marshal.load torch.load torch.hub.load torch.hub.load_state_dict_from_url torch.jit.load
torch.package.PackageImporter torch.serialization.load torch.ops.load_library
torch._C._jit_override_can_fuse_on_cpu numpy.load numpy.lib.npyio.load numpy.fromfile
numpy.memmap pandas.read_pickle ctypes.CDLL ctypes.cdll.LoadLibrary ctypes.WinDLL ctypes.PyDLL
_ctypes.dlopen ctypes.string_at runpy.run_path runpy.run_module runpy._run_code
importlib.import_module importlib.reload importlib._bootstrap._call_with_frames_removed
importlib.machinery.SourceFileLoader importlib.util.spec_from_file_location imp.load_source
imp.load_module builtins.__import__ __builtin__.__import__ zipimport.zipimporter
pkgutil.resolve_name pkgutil.get_loader pydoc.locate site.addsitedir logging.FileHandler
logging.config.fileConfig logging.config.listen logging.config.dictConfig
socket.create_connection socket.socket _socket.socket urllib.request.urlopen
urllib.request.urlretrieve http.client.HTTPConnection http.client.HTTPSConnection requests.get
requests.api.get aiohttp.ClientSession ftplib.FTP telnetlib.Telnet smtplib.SMTP
asyncio.open_connection ssl.get_server_certificate linecache.getline fileinput.input mmap.mmap
multiprocessing.Process multiprocessing.util.spawnv_passfds
concurrent.futures.ProcessPoolExecutor threading.Thread _thread.start_new_thread signal.signal
sys.exit os._exit os.abort os.kill os.fork posix._exit faulthandler._sigsegv gc.get_objects
resource.setrlimit stable_baselines3.PPO.load stable_baselines3.common.save_util.load_from_pkl
stable_baselines3.common.vec_env.VecNormalize.load
stable_baselines3.common.save_util.json_to_data rltransfer.load
rltransfer.agents.files.atomic_write yaml.unsafe_load yaml.load
"""
_SPECIAL: dict[str, tuple[Any, ...]] = {
    "subprocess.Popen": (["touch", MARKER],),
    "subprocess.call": (["touch", MARKER],),
    "subprocess.run": (["touch", MARKER],),
    "subprocess.check_call": (["touch", MARKER],),
    "subprocess.check_output": (["touch", MARKER],),
    "os.execv": ("/bin/touch", ["touch", MARKER]),
    "os.execvp": ("touch", ["touch", MARKER]),
    "os.spawnl": (0, "/bin/touch", "touch", MARKER),
    "os.spawnlp": (0, "touch", "touch", MARKER),
    "os.spawnvp": (0, "touch", ["touch", MARKER]),
    "os.posix_spawn": ("/bin/touch", ["touch", MARKER], {}),
    "posix.posix_spawn": ("/bin/touch", ["touch", MARKER], {}),
    "_posixsubprocess.fork_exec": (["touch", MARKER], [b"/bin/touch"]),
    "asyncio.create_subprocess_exec": ("touch", MARKER),
    "builtins.getattr": ("os", "system"),
    "builtins.setattr": ("os", "system", 1),
    "builtins.delattr": ("os", "system"),
    "builtins.globals": (),
    "builtins.vars": (),
    "builtins.breakpoint": (),
    "builtins.input": (),
    "builtins.map": ("print", [MARKER]),
    "builtins.apply": ("print", (MARKER,)),
    "builtins.type": ("X", (), {"__reduce__": MARKER}),
    "operator.attrgetter": ("system",),
    "operator.methodcaller": ("system", _SHELL),
    "operator.itemgetter": ("system",),
    "_operator.attrgetter": ("system",),
    "functools.partial": ("system", _SHELL),
    "functools.reduce": ("system", [_SHELL]),
    "itertools.starmap": ("system", [_SHELL]),
    "types.CodeType": (0, 0, 0, 0, 0, 0, b"", (), (), (), "", "", "", 1, b"", b""),
    "types.FunctionType": (b"", {}),
    "types.MethodType": ("system", _SHELL),
    "cloudpickle.cloudpickle._make_function": (b"", {}, None, None, None),
    "cloudpickle.cloudpickle._builtin_type": ("CodeType",),
    "cloudpickle.cloudpickle._make_skeleton_class": ("type", "X", (), {}, "id", None),
    "cloudpickle.cloudpickle.subimport": ("this",),
    "cloudpickle.cloudpickle.dynamic_subimport": ("m", {}),
    "cloudpickle._make_function": (b"", {}, None, None, None),
    "copyreg.add_extension": ("os", "system", 77),
    "copyreg.__newobj__": ("os",),
    "copyreg.pickle": ("os", "system"),
    "torch._utils._rebuild_wrapper_subclass": (1, 2, 3),
    "torch._tensor._rebuild_from_type_v2": ("system", "os", (), None),
    "torch.storage._load_from_bytes": (b"\x80\x04.",),
    "torch.distributed.rpc.rpc_sync": ("w", "os.system", (_SHELL,)),
    "numpy.random._pickle.__generator_ctor": ("os",),
}


def _listed() -> list[tuple[str, tuple[Any, ...]]]:
    kinds = ((_WITH_SHELL, (_SHELL,)), (_WITH_CODE, (_CODE,)), (_WITH_PATH, (MARKER,)))
    plain = [(path, args) for paths, args in kinds for path in paths.split()]
    return [*plain, *_SPECIAL.items()]


def _split(path: str) -> tuple[str, str]:
    """Split a dotted path into the module and the rest, which may be a class and a method."""
    parts = path.split(".")
    kinds = [i for i, part in enumerate(parts[:-1]) if i and part[0].isupper()]
    at = kinds[0] if kinds else len(parts) - 1
    return ".".join(parts[:at]), ".".join(parts[at:])


#: Unsafe globals, as module, name and the arguments of the call.
CALLS = tuple((*_split(path), args) for path, args in _listed())


def _with_global(style: str, end: bytes) -> Callable[[str, str, Any], bytes]:
    """Name, arguments, and an instruction that calls."""
    return lambda module, function, args: (
        name(module, function, style) + value(tuple(args), style) + end
    )


def _inst(module: str, function: str, args: Any) -> bytes:
    end = b"i" + module.encode() + b"\n" + function.encode() + b"\n"
    return b"(" + b"".join(value(arg, "line") for arg in args) + end


def _obj(module: str, function: str, args: Any) -> bytes:
    return b"(" + name(module, function, "line") + b"".join(map(value, args)) + b"o"


def _newobj_ex(module: str, function: str, args: Any) -> bytes:
    return name(module, function) + value(tuple(args)) + b"}\x92"


def _new(module: str, function: str, args: Any) -> bytes:
    target = name(module, function, "line")
    rest = b"".join(value(arg, "line") for arg in args)
    return name("copyreg", "__newobj__", "line") + b"(" + target + rest + b"tR"


def _build(module: str, function: str, args: Any) -> bytes:
    """An object whose ``__setstate__`` is the function."""
    kind = name("collections", "UserDict") + b")\x81"
    state = b"}" + text("__setstate__") + name(module, function) + b"sb"
    return kind + state + value(args[0] if args else None) + b"b"


def _lookup(module: str, function: str, args: Any) -> bytes:
    """``getattr(import_module(module), name)(*args)``."""
    found = name("importlib", "import_module") + value((module,)) + b"R"
    attribute = text(function) + b"\x86R"
    return name("builtins", "getattr") + found + attribute + value(tuple(args)) + b"R"


def _memo(module: str, function: str, args: Any) -> bytes:
    """A name that is stored, dropped, fetched twice, and called."""
    stored = name(module, function, "mid") + b"r" + (901).to_bytes(4, "little") + b"0"
    return stored + b"j" + (901).to_bytes(4, "little") + b"2" + b"0" + value(tuple(args)) + b"R"


def _items(module: str, function: str, args: Any) -> bytes:
    """A list subclass whose ``extend`` gets the result of the call."""
    inner = name(module, function) + value(tuple(args)) + b"R"
    return name("collections", "UserList") + b")\x81(" + inner + b"e"


def _key(module: str, function: str, args: Any) -> bytes:
    """A dict with the result of the call as a key."""
    return b"}" + name(module, function) + value(tuple(args)) + b"R" + number(1) + b"s"


def _reduce_again(module: str, function: str, args: Any) -> bytes:
    """A reference that is resolved by the code that reads the file."""
    return b"(" + text(module) + text(function) + value(tuple(args)) + b"tQ"


#: How to say a call.
ENCODINGS: dict[str, Callable[[str, str, Any], bytes]] = {
    "global line": _with_global("line", b"R"),
    "global mid": _with_global("mid", b"R"),
    "stack global": _with_global("short", b"R"),
    "stack global long": _with_global("long", b"R"),
    "inst": _inst,
    "obj": _obj,
    "newobj": _with_global("short", b"\x81"),
    "newobj_ex": _newobj_ex,
    "copyreg": _new,
    "build": _build,
    "lookup": _lookup,
    "memo": _memo,
    "items": _items,
    "key": _key,
    "persistent": _reduce_again,
}
