//! `RUN --mount=…`.

use super::flags::nearest;

/// One mount of a step, every value expanded and checked.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Mount {
    /// What is mounted.
    pub kind: MountKind,
    /// A stage, a named context or an image; the build's context where it is `None`.
    pub from: Option<String>,
    /// The path in `from`.
    pub source: String,
    /// Where it is mounted; relative to the working folder.
    pub target: String,
    /// No writes.
    pub readonly: bool,
    /// Which cache, secret or agent.
    pub id: Option<String>,
    /// How a cache is shared.
    pub sharing: Sharing,
    /// Fail where the secret or agent was not given.
    pub required: bool,
    /// Size of a tmpfs in bytes.
    pub size: Option<u64>,
    /// Mode of a secret, an agent's socket or a new cache.
    pub mode: Option<u32>,
    /// Its owner.
    pub uid: Option<u32>,
    /// Its group.
    pub gid: Option<u32>,
    /// The variable that a secret is given in.
    pub env: Option<String>,
}

/// What is mounted.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum MountKind {
    /// Files of a context, stage or image; writes are lost.
    #[default]
    Bind,
    /// A folder that lasts from build to build.
    Cache,
    /// A fresh tmpfs.
    Tmpfs,
    /// A secret, as a file or a variable.
    Secret,
    /// A socket to an SSH agent.
    Ssh,
}

/// How builds share a cache.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Sharing {
    /// All at once.
    #[default]
    Shared,
    /// Each its own.
    Private,
    /// One after the other.
    Locked,
}

const KEYS: [&str; 19] = [
    "type",
    "from",
    "source",
    "src",
    "target",
    "dst",
    "destination",
    "readonly",
    "ro",
    "readwrite",
    "rw",
    "id",
    "sharing",
    "required",
    "size",
    "mode",
    "uid",
    "gid",
    "env",
];

impl Mount {
    /// Reads the value of a flag; `expand` turns texts with variables into texts without.
    ///
    /// # Errors
    /// A sentence about what is wrong.
    pub fn parse(text: &str, expand: &dyn Fn(&str) -> Result<String, String>) -> Result<Self, String> {
        let mut mount = Self { readonly: true, ..Self::default() };
        let mut writable: Option<bool> = None;
        let fields = fields(text);
        if let Some(kind) = fields.iter().find_map(|field| field.strip_prefix("type=")) {
            mount.kind = kind_of(&expand(kind)?)?;
        }
        for field in &fields {
            let (key, value) = match field.split_once('=') {
                Some((key, value)) => (key.to_ascii_lowercase(), Some(expand(value)?)),
                None => (field.to_ascii_lowercase(), None),
            };
            match (key.as_str(), value) {
                ("readonly" | "ro", value) => writable = Some(!boolean(&key, value.as_deref())?),
                ("readwrite" | "rw", value) => writable = Some(boolean(&key, value.as_deref())?),
                ("required", value) => mount.required = boolean(&key, value.as_deref())?,
                ("type", Some(_)) => {}
                (_, Some(value)) => mount.set(&key, value)?,
                (_, None) if KEYS.contains(&key.as_str()) => {
                    return Err(format!("invalid field '{field}' must be a key=value pair"));
                }
                (_, None) => return Err(unexpected(&key, field)),
            }
        }
        mount.finish(writable)
    }

    fn set(&mut self, key: &str, value: String) -> Result<(), String> {
        let number =
            |what: &str, value: &str| value.parse::<u32>().map_err(|_| format!("invalid value for {what}: {value}"));
        match key {
            "from" => self.from = Some(value),
            "source" | "src" => self.source = value,
            "target" | "dst" | "destination" => self.target = value,
            "id" => self.id = Some(value),
            "env" => self.env = Some(value),
            "uid" => self.uid = Some(number("uid", &value)?),
            "gid" => self.gid = Some(number("gid", &value)?),
            "mode" => {
                let mode = u32::from_str_radix(&value, 8).ok().filter(|mode| *mode <= 0o7777);
                self.mode = Some(mode.ok_or_else(|| format!("invalid value for mode: {value}"))?);
            }
            "size" => self.size = Some(size(&value).ok_or_else(|| format!("invalid value for size: {value}"))?),
            "sharing" => {
                self.sharing = match value.to_ascii_lowercase().as_str() {
                    "shared" => Sharing::Shared,
                    "private" => Sharing::Private,
                    "locked" => Sharing::Locked,
                    _ => return Err(format!("unsupported sharing value {value:?}")),
                }
            }
            other => return Err(unexpected(other, &format!("{other}={value}"))),
        }
        Ok(())
    }

    fn finish(mut self, writable: Option<bool>) -> Result<Self, String> {
        let is_file = matches!(self.kind, MountKind::Secret | MountKind::Ssh);
        self.readonly = match self.kind {
            MountKind::Bind => !writable.unwrap_or(false),
            MountKind::Cache => !writable.unwrap_or(true),
            MountKind::Tmpfs if writable.is_some() => return Err("tmpfs mounts are always writable".into()),
            MountKind::Tmpfs => false,
            MountKind::Secret | MountKind::Ssh => true,
        };
        if self.target.is_empty() && !is_file {
            return Err(format!("mount target is required for mount type {}", self.kind.name()));
        }
        if self.kind == MountKind::Secret && self.id.is_none() {
            let from = if self.source.is_empty() { &self.target } else { &self.source };
            let base = from.trim_end_matches('/').rsplit('/').next().unwrap_or_default();
            if base.is_empty() {
                return Err("one of source, target required".into());
            }
            self.id = Some(base.to_owned());
        }
        if self.kind != MountKind::Cache && self.sharing != Sharing::Shared {
            return Err(format!("invalid cache sharing option for mount type {}", self.kind.name()));
        }
        if self.size.is_some() && self.kind != MountKind::Tmpfs {
            return Err(format!("size is not supported for mount type {}", self.kind.name()));
        }
        if self.from.is_some() && !matches!(self.kind, MountKind::Bind | MountKind::Cache) {
            return Err(format!("from is not supported for mount type {}", self.kind.name()));
        }
        if self.env.is_some() && self.kind != MountKind::Secret {
            return Err(format!("env is not supported for mount type {}", self.kind.name()));
        }
        Ok(self)
    }
}

impl MountKind {
    /// The word for it.
    pub fn name(self) -> &'static str {
        match self {
            MountKind::Bind => "bind",
            MountKind::Cache => "cache",
            MountKind::Tmpfs => "tmpfs",
            MountKind::Secret => "secret",
            MountKind::Ssh => "ssh",
        }
    }
}

fn kind_of(word: &str) -> Result<MountKind, String> {
    let all = [MountKind::Bind, MountKind::Cache, MountKind::Tmpfs, MountKind::Secret, MountKind::Ssh];
    let word = word.to_ascii_lowercase();
    all.into_iter().find(|kind| kind.name() == word).ok_or_else(|| {
        match nearest(&word, &["bind", "cache", "tmpfs", "secret", "ssh"]) {
            Some(near) => format!("unsupported mount type {word:?} (did you mean {near}?)"),
            None => format!("unsupported mount type {word:?}"),
        }
    })
}

fn unexpected(key: &str, field: &str) -> String {
    match nearest(key, &KEYS) {
        Some(near) => format!("unexpected key '{key}' in '{field}' (did you mean {near}?)"),
        None => format!("unexpected key '{key}' in '{field}'"),
    }
}

fn boolean(key: &str, value: Option<&str>) -> Result<bool, String> {
    match value.map(str::to_ascii_lowercase).as_deref() {
        None | Some("true" | "1" | "t") => Ok(true),
        Some("false" | "0" | "f") => Ok(false),
        Some(other) => Err(format!("invalid value for {key}: {other}")),
    }
}

/// Comma-separated fields, of which quotes hold one together.
fn fields(text: &str) -> Vec<String> {
    let mut fields = vec![String::new()];
    let mut quoted = false;
    for c in text.chars() {
        match c {
            '"' => quoted = !quoted,
            ',' if !quoted => fields.push(String::new()),
            c => fields.last_mut().into_iter().for_each(|field| field.push(c)),
        }
    }
    fields.retain(|field| !field.is_empty());
    fields
}

/// Bytes, with a suffix of 1024's powers.
fn size(text: &str) -> Option<u64> {
    let lower = text.trim().to_ascii_lowercase();
    let digits = lower.bytes().take_while(|b| b.is_ascii_digit() || *b == b'.').count();
    let (number, unit) = lower.split_at(digits);
    let shift = match unit.trim().trim_end_matches('b').trim_end_matches('i') {
        "" => 0,
        "k" => 10,
        "m" => 20,
        "g" => 30,
        "t" => 40,
        _ => return None,
    };
    match number.parse::<u64>() {
        Ok(number) => number.checked_mul(1 << shift),
        #[allow(clippy::cast_possible_truncation, clippy::cast_sign_loss)] // a fraction of a size in bytes
        Err(_) => number.parse::<f64>().ok().map(|number| (number * (1u64 << shift) as f64) as u64),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(text: &str) -> Result<Mount, String> {
        Mount::parse(text, &|text| Ok(text.to_owned()))
    }

    #[test]
    fn every_kind_is_read() {
        let bind = parse("target=/src").unwrap();
        assert_eq!((bind.kind, bind.readonly, bind.target.as_str()), (MountKind::Bind, true, "/src"));
        assert!(!parse("type=bind,from=a,src=x,dst=/y,rw").unwrap().readonly);
        let cache = parse("type=cache,id=c,target=/root/.cache,sharing=locked,uid=5,gid=6,mode=0755").unwrap();
        assert_eq!((cache.sharing, cache.uid, cache.mode), (Sharing::Locked, Some(5), Some(0o755)));
        assert!(!cache.readonly);
        assert_eq!(parse("type=tmpfs,target=/t,size=64m").unwrap().size, Some(64 << 20));
        assert_eq!(parse("type=secret,target=/run/token").unwrap().id.as_deref(), Some("token"));
        assert_eq!(parse("type=secret,id=a,env=TOKEN,required").unwrap().env.as_deref(), Some("TOKEN"));
        assert_eq!(parse("type=ssh").unwrap().kind, MountKind::Ssh);
    }

    #[test]
    fn what_makes_no_sense_is_refused() {
        for text in [
            "type=bnd,target=/a",
            "type=cache",
            "trget=/a",
            "type=secret",
            "type=tmpfs,target=/a,ro",
            "target=/a,mode=9",
            "type=cache,target=/a,sharing=x",
            "type=bind,target=/a,size=1",
            "target",
            "type=ssh,env=A",
            "target=/a,ro=maybe",
        ] {
            assert!(parse(text).is_err(), "{text}");
        }
        assert!(parse("trget=/a").unwrap_err().contains("did you mean target"));
    }
}
