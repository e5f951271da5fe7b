//! Which kernel this is. Features are found out by trying; the version only spares attempts that the kernel would log.

use rustix::system::uname;

/// Whether the running kernel is of this version or a later one; `false` where its release cannot be read.
pub fn at_least(major: u32, minor: u32) -> bool {
    release(&uname().release().to_string_lossy()).is_some_and(|running| running >= (major, minor))
}

fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn releases_are_read_in_every_form() {
        assert_eq!(release("6.18.44-fc-v669"), Some((6, 18)));
        assert_eq!(release("5.10.0-28-cloud-amd64"), Some((5, 10)));
        assert_eq!(release("6.5"), Some((6, 5)));
        assert_eq!(release("rolling"), None);
    }

    #[test]
    fn this_kernel_is_one_that_wharf_runs_on() {
        assert!(at_least(5, 10) && !at_least(1000, 0));
    }
}
