//! `--chown` and `--chmod`.

use std::os::fd::BorrowedFd;

use wharf_types::{Error, Result};

/// User and group by number.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// Reads `user[:group]`, names or numbers, with the accounts of the tree at `root`. Without a group it is the user's
/// own, or the same number.
///
/// # Errors
/// `InvalidParameter` for a name that the tree does not know.
pub fn find_owner(root: BorrowedFd<'_>, text: &str) -> Result<Owner> {
    let (user, group) = match text.split_once(':') {
        Some((user, group)) => (user, Some(group)),
        None => (text, None),
    };
    let (uid, own_gid) = match user.parse::<u32>() {
        Ok(uid) => (uid, None),
        Err(_) if user.is_empty() => (0, None),
        Err(_) => {
            let fields = account(root, "etc/passwd", user, "user")?;
            let number = |at: usize| fields.get(at).and_then(|field| field.parse().ok());
            let uid = number(2).ok_or_else(|| unknown("user", user))?;
            (uid, number(3))
        }
    };
    let gid = match group {
        None => own_gid.unwrap_or(uid),
        Some(group) => match group.parse::<u32>() {
            Ok(gid) => gid,
            Err(_) => {
                let fields = account(root, "etc/group", group, "group")?;
                fields.get(2).and_then(|field| field.parse().ok()).ok_or_else(|| unknown("group", group))?
            }
        },
    };
    Ok(Owner { uid, gid })
}

fn account(root: BorrowedFd<'_>, path: &str, name: &str, what: &str) -> Result<Vec<String>> {
    let text = super::read_text(root, path)?;
    let line = text.lines().find(|line| line.split(':').next() == Some(name));
    let line = line.ok_or_else(|| unknown(what, name))?;
    Ok(line.split(':').map(str::to_owned).collect())
}

fn unknown(what: &str, name: &str) -> Error {
    Error::invalid(format!("invalid {what} {name:?}: the image has no {what} of that name"))
        .with_hint(format!("create the {what} in an earlier step, or give a number"))
}

/// A mode after `--chmod`: octal, or chmod(1)'s symbols (`u=rwX,go+r`).
///
/// # Errors
/// `InvalidParameter` for what is neither.
pub fn change_mode(text: &str, mode: u32, is_folder: bool) -> Result<u32> {
    let bad = || {
        Error::invalid(format!(
            "invalid chmod parameter: '{text}'. it should be octal string and between 0 and 07777, or symbolic"
        ))
    };
    if !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit()) {
        let mode = u32::from_str_radix(text, 8).map_err(|_| bad())?;
        return if mode <= 0o7777 { Ok(mode) } else { Err(bad()) };
    }
    let mut mode = mode & 0o7777;
    for clause in text.split(',') {
        let at = clause.find(['+', '-', '=']).ok_or_else(bad)?;
        let who = match &clause[..at] {
            "" => 0o777,
            who => who
                .chars()
                .try_fold(0, |mask, c| match c {
                    'u' => Some(mask | 0o700),
                    'g' => Some(mask | 0o070),
                    'o' => Some(mask | 0o007),
                    'a' => Some(mask | 0o777),
                    _ => None,
                })
                .ok_or_else(bad)?,
        };
        let mut bits = 0;
        for c in clause[at + 1..].chars() {
            bits |= match c {
                'r' => 0o444 & who,
                'w' => 0o222 & who,
                'x' => 0o111 & who,
                'X' if is_folder || mode & 0o111 != 0 => 0o111 & who,
                'X' => 0,
                's' => (if who & 0o700 != 0 { 0o4000 } else { 0 }) | (if who & 0o070 != 0 { 0o2000 } else { 0 }),
                't' => 0o1000,
                _ => return Err(bad()),
            };
        }
        mode = match clause.as_bytes()[at] {
            b'+' => mode | bits,
            b'-' => mode & !bits,
            _ => mode & !who | bits,
        };
    }
    Ok(mode)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn modes_are_read_in_both_forms() {
        for (text, mode, folder, expected) in [
            ("0755", 0, false, 0o755),
            ("644", 0o777, false, 0o644),
            ("u+x", 0o644, false, 0o744),
            ("go-w,a+r", 0o622, false, 0o644),
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o600, true, 0o755),
            ("+t", 0o755, true, 0o1755),
        ] {
            assert_eq!(change_mode(text, mode, folder).unwrap(), expected, "{text}");
        }
        for text in ["9", "77777", "u", "z+x", "u+q", ""] {
            assert!(change_mode(text, 0, false).is_err(), "{text}");
        }
    }
}
