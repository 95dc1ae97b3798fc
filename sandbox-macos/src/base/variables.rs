//! Kernel variables that a command may read, each with the reason. None may be written.
//!
//! Left out on purpose: `kern.proc.all` and its like (a list of every process of the host), `kern.procargs2` (their
//! arguments), `net.inet` (connections of others), the host's name and serial numbers.

use super::{Entry, entry};

/// By their whole names.
pub const NAMED: [Entry; 38] = [
    entry("hw.activecpu", "how many workers to start"),
    entry("hw.byteorder", "configure scripts"),
    entry("hw.cachelinesize", "Go and Rust tune themselves"),
    entry("hw.cachelinesize_compat", "Go and Rust tune themselves"),
    entry("hw.cacheconfig", "Go and Rust tune themselves"),
    entry("hw.cpufamily", "which instructions there are"),
    entry("hw.cputype", "which instructions there are"),
    entry("hw.cpusubtype", "which instructions there are"),
    entry("hw.l1dcachesize_compat", "numeric libraries tune themselves"),
    entry("hw.l1icachesize_compat", "numeric libraries tune themselves"),
    entry("hw.l2cachesize_compat", "numeric libraries tune themselves"),
    entry("hw.l3cachesize_compat", "numeric libraries tune themselves"),
    entry("hw.logicalcpu", "how many workers to start"),
    entry("hw.logicalcpu_max", "how many workers to start"),
    entry("hw.machine", "uname"),
    entry("hw.memsize", "how much memory garbage collectors plan for"),
    entry("hw.ncpu", "how many workers to start"),
    entry("hw.nperflevels", "how many fast and slow cores there are"),
    entry("hw.packages", "how many processors there are"),
    entry("hw.pagesize", "the size of a page"),
    entry("hw.pagesize_compat", "the size of a page"),
    entry("hw.physicalcpu", "how many workers to start"),
    entry("hw.physicalcpu_max", "how many workers to start"),
    entry("kern.argmax", "how long a command line may be: xargs"),
    entry("kern.boottime", "monotonic clocks of some runtimes"),
    entry("kern.iossupportversion", "which frameworks may be loaded"),
    entry("kern.maxfilesperproc", "how many files may be open"),
    entry("kern.ngroups", "how many groups a process may have"),
    entry("kern.osproductversion", "which macOS this is"),
    entry("kern.osrelease", "uname"),
    entry("kern.ostype", "uname"),
    entry("kern.osvariant_status", "the C library asks at start"),
    entry("kern.osversion", "which macOS this is"),
    entry("kern.secure_kernel", "the C library asks at start"),
    entry("kern.usrstack64", "the bounds of the main thread's stack"),
    entry("kern.version", "uname"),
    entry("sysctl.proc_cputype", "whether a process runs under Rosetta"),
    entry("vm.loadavg", "make -l and ninja"),
];

/// By how their names begin.
pub const PREFIXES: [Entry; 3] = [
    entry("hw.optional.", "which instructions there are"),
    entry("hw.perflevel", "how many fast and slow cores there are"),
    entry("machdep.cpu.", "which instructions there are"),
];
