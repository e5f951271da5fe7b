//! Making, signalling and moving processes: clone3(2), pidfds, setns(2), execve(2).

use std::ffi::CString;
use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, FromRawFd, OwnedFd};
use std::panic::{AssertUnwindSafe, catch_unwind};

use crate::check;

/// Namespace flags of clone3(2), setns(2) and unshare(2).
pub mod namespace {
    /// Mounts.
    pub const MOUNT: u64 = libc::CLONE_NEWNS as u64;
    /// Process ids.
    pub const PID: u64 = libc::CLONE_NEWPID as u64;
    /// System V IPC and message queues.
    pub const IPC: u64 = libc::CLONE_NEWIPC as u64;
    /// Host name.
    pub const UTS: u64 = libc::CLONE_NEWUTS as u64;
    /// Network.
    pub const NETWORK: u64 = libc::CLONE_NEWNET as u64;
    /// Users.
    pub const USER: u64 = libc::CLONE_NEWUSER as u64;
    /// The view of the cgroup tree.
    pub const CGROUP: u64 = libc::CLONE_NEWCGROUP as u64;
    /// The monotonic and boot clocks (kernel 5.6).
    pub const TIME: u64 = libc::CLONE_NEWTIME as u64;
}

const CLONE_INTO_CGROUP: u64 = 0x2_0000_0000;

/// Copies the calling process (as fork(2) does) into the new namespaces `flags`, and runs `child` in the copy.
///
/// `cgroup` is a descriptor of a cgroup v2 folder in which the copy starts (CLONE_INTO_CGROUP, kernel 5.7). Returns the
/// copy's process id and pidfd. The copy ends with the closure's value as its exit code; a panic ends it with 255.
///
/// Only the calling thread exists in the copy: a lock that another thread held stays locked for ever, so a process that
/// is to do more than execve(2) in `child` must have a single thread.
pub fn clone_process(
    flags: u64,
    cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> i32,
) -> io::Result<(i32, OwnedFd)> {
    clone_with(flags, libc::SIGCHLD, cgroup, child)
}

/// As [`clone_process`], but the copy is a sibling: its parent, who reaps it, is the caller's parent (CLONE_PARENT).
pub fn clone_sibling(flags: u64, child: impl FnOnce() -> i32) -> io::Result<(i32, OwnedFd)> {
    // The kernel wants no signal here: the parent gets the one that the caller's end would send.
    clone_with(flags | libc::CLONE_PARENT as u64, 0, None, child)
}

fn clone_with(
    flags: u64,
    exit_signal: libc::c_int,
    cgroup: Option<BorrowedFd<'_>>,
    child: impl FnOnce() -> i32,
) -> io::Result<(i32, OwnedFd)> {
    let mut pidfd: libc::c_int = -1;
    let mut arguments = libc::clone_args {
        flags: flags | libc::CLONE_PIDFD as u64,
        pidfd: &raw mut pidfd as u64,
        child_tid: 0,
        parent_tid: 0,
        exit_signal: exit_signal as u64,
        stack: 0,
        stack_size: 0,
        tls: 0,
        set_tid: 0,
        set_tid_size: 0,
        cgroup: 0,
    };
    if let Some(cgroup) = cgroup {
        arguments.flags |= CLONE_INTO_CGROUP;
        arguments.cgroup = cgroup.as_raw_fd() as u64;
    }
    let size = std::mem::size_of::<libc::clone_args>();
    // SAFETY: `arguments` is a valid clone_args of `size` bytes whose pidfd points to an integer that outlives the call.
    // Neither CLONE_VM nor a stack is given, so the copy has its own memory and goes on here as after fork(2).
    let pid = check(unsafe { libc::syscall(libc::SYS_clone3, &raw mut arguments, size) })?;
    if pid == 0 {
        let code = catch_unwind(AssertUnwindSafe(child)).unwrap_or(255);
        exit_now(code);
    }
    // SAFETY: the kernel stored a new descriptor there, which nobody else owns.
    let pidfd = unsafe { OwnedFd::from_raw_fd(pidfd) };
    Ok((pid as i32, pidfd))
}

/// Ends the process at once: no destructors, no exit handlers, no flushing of buffers that a copied process shares.
pub fn exit_now(code: i32) -> ! {
    // SAFETY: _exit(2) takes any value and does not return.
    unsafe { libc::_exit(code) }
}

/// Sends a signal by number, real-time ones included, to the process behind a pidfd; 0 only asks whether it is there.
pub fn send_signal(pidfd: impl AsFd, signal: i32) -> io::Result<()> {
    let null = std::ptr::null::<libc::siginfo_t>();
    let fd = pidfd.as_fd().as_raw_fd();
    // SAFETY: no pointer but a null siginfo is passed; the descriptor is borrowed for the call.
    check(unsafe { libc::syscall(libc::SYS_pidfd_send_signal, fd, signal, null, 0) }).map(drop)
}

/// Joins the namespaces `flags` of the process behind a pidfd (kernel 5.8), or one namespace behind its own descriptor.
///
/// The PID namespace is that of future children only (setns(2)).
pub fn join_namespaces(fd: impl AsFd, flags: u64) -> io::Result<()> {
    // SAFETY: setns takes two integers and changes only the calling thread's namespaces.
    check(unsafe { libc::setns(fd.as_fd().as_raw_fd(), flags as libc::c_int) }.into()).map(drop)
}

/// Leaves the namespaces `flags` for new ones (unshare(2)); CLONE_FILES and CLONE_VM are not accepted.
pub fn unshare(flags: u64) -> io::Result<()> {
    if flags & (libc::CLONE_FILES | libc::CLONE_VM) as u64 != 0 {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    // SAFETY: unshare takes an integer; without CLONE_FILES no descriptor changes its meaning.
    check(unsafe { libc::unshare(flags as libc::c_int) }.into()).map(drop)
}

/// Marks every descriptor from `first` on close-on-exec (close_range(2), by hand before kernel 5.11).
pub fn close_on_exec_from(first: u32) -> io::Result<()> {
    // SAFETY: with CLOSE_RANGE_CLOEXEC no descriptor is closed, so no owner is deprived of one.
    let result =
        check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, libc::CLOSE_RANGE_CLOEXEC) }).map(drop);
    match result {
        Err(error) if matches!(error.raw_os_error(), Some(libc::ENOSYS | libc::EINVAL)) => close_on_exec_by_hand(first),
        other => other,
    }
}

fn close_on_exec_by_hand(first: u32) -> io::Result<()> {
    for entry in std::fs::read_dir("/proc/self/fd")? {
        let number = entry?.file_name().to_str().and_then(|name| name.parse::<u32>().ok());
        if let Some(fd) = number.filter(|fd| *fd >= first) {
            // SAFETY: F_SETFD changes a flag of a descriptor, or fails if it was closed meanwhile.
            unsafe { libc::fcntl(fd as libc::c_int, libc::F_SETFD, libc::FD_CLOEXEC) };
        }
    }
    Ok(())
}

/// Closes every descriptor from `first` on. For a process that ends in [`exit_now`] or execve and uses none of them again.
///
/// Owners of those descriptors must be leaked (`ManuallyDrop`) or never dropped, which [`exit_now`] sees to.
pub fn close_from(first: u32) -> io::Result<()> {
    // SAFETY: the caller is a process of its own that promises to use none of the descriptors any more; closing them
    // twice is harmless as the process has one thread and opens nothing in between that it could hit.
    check(unsafe { libc::syscall(libc::SYS_close_range, first, u32::MAX, 0) }).map(drop)
}

/// Replaces the process by a program (execve(2)). Returns only on failure.
pub fn execute(program: &CString, arguments: &[CString], environment: &[CString]) -> io::Error {
    let arguments = null_terminated(arguments);
    let environment = null_terminated(environment);
    // SAFETY: both arrays end with a null pointer and hold pointers to strings that live until the call is over.
    unsafe { libc::execve(program.as_ptr(), arguments.as_ptr(), environment.as_ptr()) };
    io::Error::last_os_error()
}

fn null_terminated(strings: &[CString]) -> Vec<*const libc::c_char> {
    strings.iter().map(|string| string.as_ptr()).chain([std::ptr::null()]).collect()
}

/// Gives every signal its default disposition and unblocks all of them, as a fresh program expects.
pub fn reset_signals() -> io::Result<()> {
    for signal in 1..=libc::SIGRTMAX() {
        // SAFETY: SIG_DFL installs no handler. Kill, stop and libc's own signals refuse, which is what they should.
        unsafe { libc::signal(signal, libc::SIG_DFL) };
    }
    set_signal_mask(libc::SIG_SETMASK, &[]).map(drop)
}

/// Blocks all signals, so that they can be taken by [`wait_for_signal`].
pub fn block_all_signals() -> io::Result<()> {
    let all: Vec<i32> = (1..=libc::SIGRTMAX()).collect();
    set_signal_mask(libc::SIG_BLOCK, &all)
}

fn set_signal_mask(how: i32, signals: &[i32]) -> io::Result<()> {
    let set = signal_set(signals);
    // SAFETY: `set` is initialised; the old mask is not asked for.
    match unsafe { libc::pthread_sigmask(how, &raw const set, std::ptr::null_mut()) } {
        0 => Ok(()),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}

fn signal_set(signals: &[i32]) -> libc::sigset_t {
    // SAFETY: sigset_t is plain integers, for which zero is valid; sigemptyset and sigaddset then write into it.
    unsafe {
        let mut set: libc::sigset_t = std::mem::zeroed();
        libc::sigemptyset(&raw mut set);
        for &signal in signals {
            libc::sigaddset(&raw mut set, signal);
        }
        set
    }
}

/// Waits for any blocked signal and takes it: the signal's number.
pub fn wait_for_signal() -> io::Result<i32> {
    let all: Vec<i32> = (1..=libc::SIGRTMAX()).collect();
    let set = signal_set(&all);
    let mut signal = 0;
    // SAFETY: both pointers are to live variables of the right type.
    match unsafe { libc::sigwait(&raw const set, &raw mut signal) } {
        0 => Ok(signal),
        number => Err(io::Error::from_raw_os_error(number)),
    }
}

/// Sends a signal by number to a process id; for an init, whose children cannot be confused with strangers.
pub fn kill(pid: i32, signal: i32) -> io::Result<()> {
    // SAFETY: kill takes two integers.
    check(unsafe { libc::kill(pid, signal) }.into()).map(drop)
}

/// Has the calling thread make files as this user and group (setfsuid(2)). It loses the capabilities that concern files from
/// its effective set if the user is not 0.
pub fn set_file_ids(uid: u32, gid: u32) -> io::Result<()> {
    let set = |number, id: u32| {
        // SAFETY: setfsuid and setfsgid take an integer and concern the calling thread only.
        let _before = unsafe { libc::syscall(number, id) };
        // They report no failure: asking for an id that is none tells the present one.
        // SAFETY: as above.
        let now = unsafe { libc::syscall(number, u32::MAX) };
        if now == i64::from(id) { Ok(()) } else { Err(io::ErrorKind::PermissionDenied.into()) }
    };
    set(libc::SYS_setfsgid, gid)?;
    set(libc::SYS_setfsuid, uid)
}

/// Sets a resource limit of the calling process by the kernel's resource number (setrlimit(2)).
pub fn set_resource_limit(resource: u32, soft: u64, hard: u64) -> io::Result<()> {
    let limit = libc::rlimit64 { rlim_cur: soft, rlim_max: hard };
    let none = std::ptr::null_mut::<libc::rlimit64>();
    // SAFETY: `limit` is a valid rlimit64 for the call; the old value is not asked for.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, &raw const limit, none) }).map(drop)
}

/// A resource limit of the calling process, soft and hard, by the kernel's resource number.
pub fn resource_limit(resource: u32) -> io::Result<(u64, u64)> {
    let mut limit = libc::rlimit64 { rlim_cur: 0, rlim_max: 0 };
    let none = std::ptr::null::<libc::rlimit64>();
    // SAFETY: the kernel writes one rlimit64, which is what the pointer points to.
    check(unsafe { libc::syscall(libc::SYS_prlimit64, 0, resource, none, &raw mut limit) })?;
    Ok((limit.rlim_cur, limit.rlim_max))
}
