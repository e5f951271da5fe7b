//! Users and passwords from a file as `htpasswd -B` writes it.

use std::collections::HashMap;
use std::path::Path;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use tokio::sync::Semaphore;
use wharf_types::{Digest, Error, Result};

use super::reload::{self, Reloaded};

/// How long a password that was right is known to be right without computing anything.
const MEMORY: Duration = Duration::from_secs(300);
/// How many passwords are remembered at most.
const REMEMBERED: usize = 4096;
/// How many are computed at once: bcrypt is slow on purpose, and the processors are needed for content.
const AT_ONCE: usize = 2;
/// What is compared with where there is no such user, so that the time tells nothing. Nobody knows its password.
const NOBODY: &str = "$2b$10$CCCCCCCCCCCCCCCCCCCCC.E5YPO9kmyuRGyh0XouQYb4YMJKvyOeW";

/// Users and their passwords.
pub struct Passwords {
    file: Reloaded<HashMap<String, String>>,
    known: Mutex<HashMap<Digest, Instant>>,
    slots: Arc<Semaphore>,
}

impl Passwords {
    /// Reads the file, and again whenever it changes.
    pub fn open(path: &Path) -> Result<Self> {
        let file = Reloaded::open(&[path], |path| {
            read(&reload::text(path)?).map_err(|line| {
                Error::invalid(format!("{}, line {line}: this is no user with a bcrypt hash", path.display()))
                    .with_hint("make entries with 'htpasswd -B FILE USER'; other hashes than bcrypt are not accepted")
            })
        })?;
        Ok(Self { file, known: Mutex::default(), slots: Arc::new(Semaphore::new(AT_ONCE)) })
    }

    /// Whether this is the user's password.
    pub async fn verify(&self, user: &str, password: &str) -> bool {
        let users = self.file.get();
        let hash = users.get(user).cloned();
        let exists = hash.is_some();
        let hash = hash.unwrap_or_else(|| NOBODY.to_owned());
        // A changed hash makes another key, so a changed password is forgotten at once.
        let key = Digest::of(format!("{hash}\0{user}\0{password}").as_bytes());
        if exists && self.is_known(&key) {
            return true;
        }
        let Ok(_slot) = Arc::clone(&self.slots).acquire_owned().await else { return false };
        let password = password.to_owned();
        let compared = tokio::task::spawn_blocking(move || bcrypt::verify(password, &hash)).await;
        let right = exists && matches!(compared, Ok(Ok(true)));
        if right {
            self.remember(key);
        }
        right
    }

    fn is_known(&self, key: &Digest) -> bool {
        let known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        known.get(key).is_some_and(|since| since.elapsed() < MEMORY)
    }

    fn remember(&self, key: Digest) {
        let mut known = self.known.lock().unwrap_or_else(PoisonError::into_inner);
        if known.len() >= REMEMBERED {
            known.retain(|_, since| since.elapsed() < MEMORY);
        }
        if known.len() >= REMEMBERED {
            known.clear();
        }
        known.insert(key, Instant::now());
    }
}

/// Reads `USER:HASH` lines; fails with the number of the first line that is neither that nor a comment.
fn read(text: &str) -> Result<HashMap<String, String>, usize> {
    let mut users = HashMap::new();
    for (number, line) in text.lines().enumerate().map(|(index, line)| (index + 1, line.trim())) {
        if line.is_empty() || line.starts_with('#') {
            continue;
        }
        let (user, hash) = line.split_once(':').ok_or(number)?;
        let is_bcrypt = ["$2a$", "$2b$", "$2x$", "$2y$"].iter().any(|start| hash.starts_with(start));
        if user.is_empty() || !is_bcrypt || hash.len() != 60 {
            return Err(number);
        }
        users.insert(user.to_owned(), hash.to_owned());
    }
    Ok(users)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_bcrypt_is_accepted() {
        let hash = bcrypt::hash("secret", 4).unwrap();
        let users = read(&format!("# users\n\nanna:{hash}\n")).unwrap();
        assert_eq!(users["anna"], hash);
        for wrong in ["anna", "anna:secret", "anna:$apr1$x$y", ":$2y$05$x", "anna:$2y$05$short"] {
            assert_eq!(read(&format!("# users\n{wrong}")), Err(2), "{wrong}");
        }
    }

    #[tokio::test]
    async fn right_passwords_are_accepted_and_others_are_not_even_after_a_change() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("htpasswd");
        let write = |password: &str| {
            std::fs::write(&path, format!("anna:{}\n", bcrypt::hash(password, 4).unwrap())).unwrap();
        };
        write("secret");
        let passwords = Passwords::open(&path).unwrap();
        for _ in 0..2 {
            assert!(passwords.verify("anna", "secret").await);
            assert!(!passwords.verify("anna", "Secret").await);
            assert!(!passwords.verify("bert", "secret").await);
        }
        std::fs::remove_file(&path).unwrap();
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert!(passwords.verify("anna", "secret").await, "the last good version counts");
        write("changed");
        tokio::time::sleep(Duration::from_millis(1100)).await;
        assert!(!passwords.verify("anna", "secret").await);
        assert!(passwords.verify("anna", "changed").await);
    }
}
