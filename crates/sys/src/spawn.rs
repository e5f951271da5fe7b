//! Starting a program with exactly the descriptors it is meant to have, without copying the caller's memory map.

use std::ffi::{CStr, CString};
use std::io;
use std::mem::MaybeUninit;
use std::os::fd::{AsRawFd, BorrowedFd, OwnedFd, RawFd};

use rustix::process::{Pid, PidfdFlags, pidfd_open};

use crate::process;

/// A program to start from its executable's descriptor.
#[derive(Debug)]
pub struct Spawn<'a> {
    /// The executable, for instance from [`crate::exe::self_exe_readonly`].
    pub executable: BorrowedFd<'a>,
    /// All arguments, the name (argument 0) first.
    pub arguments: &'a [CString],
    /// The whole environment, `NAME=value`.
    pub environment: &'a [CString],
    /// Where standard error goes; `None` is /dev/null, as standard input and output always are.
    pub stderr: Option<BorrowedFd<'a>>,
    /// What becomes descriptors 3, 4, ...; nothing else is passed on.
    pub descriptors: &'a [BorrowedFd<'a>],
}

/// Starts the program in a session of its own with default signal handling: its process id and pidfd.
///
/// The caller's memory is shared until the program runs (posix_spawn(3)), so a large caller starts it as fast as a small
/// one. The executable is reached through `/proc/self/fd`, so /proc must be mounted. Every descriptor of the caller from
/// 3 on becomes close-on-exec.
pub fn spawn(request: &Spawn<'_>) -> io::Result<(i32, OwnedFd)> {
    let first_free = 3 + request.descriptors.len() as RawFd;
    let above = |fd: &BorrowedFd<'_>| rustix::io::fcntl_dupfd_cloexec(fd, first_free).map_err(io::Error::from);
    let executable = above(&request.executable)?;
    let sources: Vec<OwnedFd> = request.descriptors.iter().map(above).collect::<io::Result<_>>()?;
    process::close_on_exec_from(3)?;
    let mut actions = Actions::new()?;
    actions.open_null(0, libc::O_RDONLY)?;
    actions.open_null(1, libc::O_WRONLY)?;
    match &request.stderr {
        Some(fd) => actions.duplicate(fd.as_raw_fd(), 2)?,
        None => actions.open_null(2, libc::O_WRONLY)?,
    }
    for (target, source) in (3..).zip(&sources) {
        actions.duplicate(source.as_raw_fd(), target)?;
    }
    let path = CString::new(format!("/proc/self/fd/{}", executable.as_raw_fd()))?;
    let pid = actions.run(&path, &Attributes::new()?, request)?;
    let number = Pid::from_raw(pid).ok_or(io::ErrorKind::InvalidData)?;
    Ok((pid, pidfd_open(number, PidfdFlags::empty())?))
}

fn check(number: libc::c_int) -> io::Result<()> {
    if number == 0 { Ok(()) } else { Err(io::Error::from_raw_os_error(number)) }
}

struct Actions(Box<MaybeUninit<libc::posix_spawn_file_actions_t>>);

impl Actions {
    fn new() -> io::Result<Self> {
        let mut actions = Self(Box::new(MaybeUninit::uninit()));
        // SAFETY: init writes the whole structure, which stays where it is.
        check(unsafe { libc::posix_spawn_file_actions_init(actions.0.as_mut_ptr()) })?;
        Ok(actions)
    }

    fn open_null(&mut self, target: RawFd, flags: libc::c_int) -> io::Result<()> {
        let path = c"/dev/null".as_ptr();
        // SAFETY: the structure is initialised and the path is copied.
        check(unsafe { libc::posix_spawn_file_actions_addopen(self.0.as_mut_ptr(), target, path, flags, 0) })
    }

    fn duplicate(&mut self, source: RawFd, target: RawFd) -> io::Result<()> {
        // SAFETY: the structure is initialised; the numbers are used in the new process only.
        check(unsafe { libc::posix_spawn_file_actions_adddup2(self.0.as_mut_ptr(), source, target) })
    }

    fn run(&self, path: &CStr, attributes: &Attributes, request: &Spawn<'_>) -> io::Result<i32> {
        let pointers = |strings: &[CString]| -> Vec<*mut libc::c_char> {
            strings.iter().map(|text| text.as_ptr().cast_mut()).chain([std::ptr::null_mut()]).collect()
        };
        let (arguments, environment) = (pointers(request.arguments), pointers(request.environment));
        let mut pid = 0;
        // SAFETY: the actions and attributes are initialised, the arrays end with a null pointer, and all strings live
        // during the call; posix_spawn does not write to them.
        check(unsafe {
            libc::posix_spawn(
                &raw mut pid,
                path.as_ptr(),
                self.0.as_ptr(),
                attributes.0.as_ptr(),
                arguments.as_ptr(),
                environment.as_ptr(),
            )
        })?;
        Ok(pid)
    }
}

impl Drop for Actions {
    fn drop(&mut self) {
        // SAFETY: initialised in `new` and destroyed once.
        unsafe { libc::posix_spawn_file_actions_destroy(self.0.as_mut_ptr()) };
    }
}

struct Attributes(Box<MaybeUninit<libc::posix_spawnattr_t>>);

impl Attributes {
    /// A new session, default dispositions, nothing blocked.
    fn new() -> io::Result<Self> {
        const SETSID: libc::c_int = 0x80;
        let mut attributes = Self(Box::new(MaybeUninit::uninit()));
        let pointer = attributes.0.as_mut_ptr();
        let flags = libc::POSIX_SPAWN_SETSIGDEF | libc::POSIX_SPAWN_SETSIGMASK | SETSID;
        // SAFETY: init writes the whole structure before the setters use it; the signal sets are plain data that
        // sigfillset and sigemptyset write.
        unsafe {
            check(libc::posix_spawnattr_init(pointer))?;
            let mut set: libc::sigset_t = std::mem::zeroed();
            libc::sigfillset(&raw mut set);
            check(libc::posix_spawnattr_setsigdefault(pointer, &raw const set))?;
            libc::sigemptyset(&raw mut set);
            check(libc::posix_spawnattr_setsigmask(pointer, &raw const set))?;
            check(libc::posix_spawnattr_setflags(pointer, flags as libc::c_short))?;
        }
        Ok(attributes)
    }
}

impl Drop for Attributes {
    fn drop(&mut self) {
        // SAFETY: initialised in `new` and destroyed once.
        unsafe { libc::posix_spawnattr_destroy(self.0.as_mut_ptr()) };
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use std::os::fd::AsFd;

    #[test]
    fn only_the_listed_descriptors_arrive() {
        let busybox = std::fs::File::open("/bin/busybox").expect("this test needs busybox-static at /bin/busybox");
        let (reader, writer) = std::io::pipe().unwrap();
        let leak = rustix::io::fcntl_dupfd_cloexec(&writer, 100).unwrap();
        rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty()).unwrap();
        let text = |text: &str| CString::new(text).unwrap();
        let request = Spawn {
            executable: busybox.as_fd(),
            arguments: &[text("sh"), text("-c"), text("exec >&3; ls /proc/$$/fd; cut -d' ' -f6 /proc/$$/stat")],
            environment: &[text("PATH=/bin")],
            stderr: None,
            descriptors: &[writer.as_fd()],
        };
        let (pid, pidfd) = spawn(&request).unwrap();
        drop((writer, leak));
        let output = std::io::read_to_string(reader).unwrap();
        rustix::process::waitid(rustix::process::WaitId::PidFd(pidfd.as_fd()), rustix::process::WaitIdOptions::EXITED)
            .unwrap();
        assert_eq!(output, format!("0\n1\n2\n3\n{pid}\n"));
    }
}
