//! The process's arguments as others see them in /proc/PID/cmdline.

use std::fs::{self, File};
use std::io;
use std::os::unix::fs::FileExt;

/// Replaces the calling process's arguments for everybody who looks (proc_pid_cmdline(5)). They get no more room than
/// there is, `InvalidInput` if that is too little; what is left of it is filled with null bytes.
pub fn set_arguments(arguments: &[&[u8]]) -> io::Result<()> {
    let (start, end) = place(&fs::read("/proc/self/stat")?).ok_or(io::ErrorKind::InvalidData)?;
    let mut bytes = Vec::new();
    for argument in arguments {
        bytes.extend_from_slice(argument);
        bytes.push(0);
    }
    let room = usize::try_from(end.saturating_sub(start)).unwrap_or_default();
    if bytes.len() > room {
        return Err(io::ErrorKind::InvalidInput.into());
    }
    bytes.resize(room, 0);
    File::options().write(true).open("/proc/self/mem")?.write_all_at(&bytes, start)
}

/// `arg_start` and `arg_end`, fields 48 and 49 of proc_pid_stat(5).
fn place(stat: &[u8]) -> Option<(u64, u64)> {
    // Field 2 is the program's name in parentheses and may hold anything.
    let after_name = stat.iter().rposition(|byte| *byte == b')')?;
    let mut fields = std::str::from_utf8(&stat[after_name + 1..]).ok()?.split_ascii_whitespace().skip(48 - 3);
    Some((fields.next()?.parse().ok()?, fields.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_place_is_found_behind_any_name() {
        let numbers = |from: u32, to: u32| (from..=to).map(|number| number.to_string()).collect::<Vec<_>>().join(" ");
        let stat = format!("1 (a) b) S {}", numbers(4, 52));
        assert_eq!(place(stat.as_bytes()), Some((48, 49)));
        assert_eq!(place(b"1 (x) S 4"), None);
    }

    #[test]
    fn too_much_is_refused() {
        let long = vec![b'x'; 10_000_000];
        assert_eq!(set_arguments(&[&long]).unwrap_err().kind(), io::ErrorKind::InvalidInput);
    }
}
