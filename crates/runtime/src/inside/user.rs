//! Who a process is: the container's own passwd and group files decide, by Docker's rules.

use std::fs::File;
use std::io::Read;
use std::os::unix::fs::OpenOptionsExt;

use wharf_types::{Error, Result};

use crate::spec::Process;

/// More than any real file; a container must not make its runtime read for ever.
const LARGEST_FILE: u64 = 16 << 20;
const LARGEST_ID: u32 = i32::MAX as u32;

/// A resolved user.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) uid: u32,
    pub(super) gid: u32,
    /// All groups, the primary one first.
    pub(super) groups: Vec<u32>,
    pub(super) home: String,
}

struct User<'a> {
    name: &'a str,
    uid: u32,
    gid: u32,
    home: &'a str,
}

struct Group<'a> {
    name: &'a str,
    gid: u32,
    members: &'a str,
}

/// Finds the user of `process` in the root file system that this process sees.
pub(super) fn find(process: &Process) -> Result<Identity> {
    resolve(&process.user, &process.additional_groups, &content("/etc/passwd"), &content("/etc/group"))
}

/// The user and group that `spec` (`user[:group]`) names, by the texts of a passwd and a group file.
///
/// # Errors
/// `InvalidParameter` for a name that is not there.
pub fn ids_of(spec: &str, passwd: &str, group: &str) -> Result<(u32, u32)> {
    resolve(spec, &[], passwd, group).map(|identity| (identity.uid, identity.gid))
}

/// A file's text; a file that is missing or is no file (a pipe would block for ever) has no entries.
fn content(path: &str) -> String {
    let flags = rustix::fs::OFlags::NONBLOCK.union(rustix::fs::OFlags::NOCTTY).bits().cast_signed();
    let mut bytes = Vec::new();
    if let Ok(file) = File::options().read(true).custom_flags(flags).open(path)
        && file.metadata().is_ok_and(|status| status.is_file())
        && file.take(LARGEST_FILE).read_to_end(&mut bytes).is_err()
    {
        bytes.clear();
    }
    String::from_utf8_lossy(&bytes).into_owned()
}

fn resolve(spec: &str, additional: &[String], passwd: &str, group: &str) -> Result<Identity> {
    let (user_part, group_part) = spec.split_once(':').unwrap_or((spec, ""));
    let user = find_user(user_part, passwd)?;
    let uid = match &user {
        Some(user) => user.uid,
        None if user_part.is_empty() => 0,
        None => number(user_part)?.ok_or_else(|| {
            Error::invalid(format!("unable to find user {user_part}: no matching entries in passwd file"))
        })?,
    };
    let mut gid = user.as_ref().map_or(0, |user| user.gid);
    let mut groups = Vec::new();
    if !group_part.is_empty() {
        gid = find_group(group_part, group)?;
    } else if let Some(user) = &user {
        groups.extend(parse_groups(group).filter(|group| group.has(user.name)).map(|group| group.gid));
    }
    for name in additional {
        groups.push(find_group(name, group)?);
    }
    let mut all = vec![gid];
    groups.into_iter().for_each(|gid| {
        if !all.contains(&gid) {
            all.push(gid)
        }
    });
    let home = user.map(|user| user.home).filter(|home| !home.is_empty()).unwrap_or("/").to_owned();
    Ok(Identity { uid, gid, groups: all, home })
}

/// The first entry of that name or number; no user named is user 0.
fn find_user<'a>(wanted: &str, passwd: &'a str) -> Result<Option<User<'a>>> {
    let wanted_id = if wanted.is_empty() { Some(0) } else { number(wanted)? };
    Ok(parse_users(passwd).find(|user| user.name == wanted || Some(user.uid) == wanted_id))
}

fn find_group(wanted: &str, group: &str) -> Result<u32> {
    let wanted_id = number(wanted)?;
    let entry = parse_groups(group).find(|group| group.name == wanted || Some(group.gid) == wanted_id);
    entry
        .map(|group| group.gid)
        .or(wanted_id)
        .ok_or_else(|| Error::invalid(format!("unable to find group {wanted}: no matching entries in group file")))
}

fn number(text: &str) -> Result<Option<u32>> {
    match text.parse::<i64>() {
        Ok(id) if (0..=i64::from(LARGEST_ID)).contains(&id) => Ok(Some(id as u32)),
        Ok(_) => Err(Error::invalid(format!("uids and gids must be in range 0-{LARGEST_ID}"))),
        Err(_) => Ok(None),
    }
}

fn parse_users(passwd: &str) -> impl Iterator<Item = User<'_>> {
    passwd.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        let (uid, gid) = (fields.next()?.parse().ok()?, fields.next()?.parse().ok()?);
        let (_comment, home) = (fields.next(), fields.next().unwrap_or_default());
        Some(User { name, uid, gid, home })
    })
}

fn parse_groups(group: &str) -> impl Iterator<Item = Group<'_>> {
    group.lines().filter_map(|line| {
        let mut fields = line.trim().split(':');
        let (name, _password) = (fields.next()?, fields.next()?);
        Some(Group { name, gid: fields.next()?.parse().ok()?, members: fields.next().unwrap_or_default() })
    })
}

impl Group<'_> {
    fn has(&self, user: &str) -> bool {
        self.members.split(',').any(|member| member.trim() == user)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PASSWD: &str = "root:x:0:0:root:/root:/bin/sh\n# comment\nbad line\nbob:x:1000:1001:Bob:/home/bob:/bin/sh\n7:x:70:71::/seven:\n";
    const GROUP: &str = "root:x:0:\nadm:x:4:root,bob\nbob:x:1001:\nwheel:x:10:bob\n";

    fn check(spec: &str, uid: u32, groups: &[u32], home: &str) {
        let identity = resolve(spec, &[], PASSWD, GROUP).unwrap();
        let expected = Identity { uid, gid: groups[0], groups: groups.to_vec(), home: home.to_owned() };
        assert_eq!(identity, expected, "{spec:?}");
    }

    #[test]
    fn users_are_found_by_name_and_number() {
        check("", 0, &[0, 4], "/root");
        check("root", 0, &[0, 4], "/root");
        check("bob", 1000, &[1001, 4, 10], "/home/bob");
        check("1000", 1000, &[1001, 4, 10], "/home/bob");
        check("bob:adm", 1000, &[4], "/home/bob");
        check("bob:77", 1000, &[77], "/home/bob");
        check("4242", 4242, &[0], "/");
        check("4242:10", 4242, &[10], "/");
        check("7", 70, &[71], "/seven");
    }

    #[test]
    fn additional_groups_come_last_and_once() {
        let additional = ["adm".to_owned(), "99".to_owned()];
        assert_eq!(resolve("bob", &additional, PASSWD, GROUP).unwrap().groups, [1001, 4, 10, 99]);
    }

    #[test]
    fn what_is_not_there_is_told_in_dockers_words() {
        let error = |spec: &str| resolve(spec, &[], PASSWD, GROUP).unwrap_err().chain();
        assert_eq!(error("eve"), "unable to find user eve: no matching entries in passwd file");
        assert_eq!(error("bob:eve"), "unable to find group eve: no matching entries in group file");
        assert_eq!(error("4294967295"), "uids and gids must be in range 0-2147483647");
        assert_eq!(error("-1"), "uids and gids must be in range 0-2147483647");
    }

    #[test]
    fn without_files_numbers_still_work() {
        let identity = resolve("", &[], "", "").unwrap();
        assert_eq!(identity, Identity { uid: 0, gid: 0, groups: vec![0], home: "/".to_owned() });
    }
}
