//! Contexts as files to carry elsewhere: a tar archive with `meta.json` and `tls/docker/...`, as Docker writes them.

use std::io::Read;

use super::{Context, TLS_FILES};
use crate::failure::{Failure, Outcome};

/// A context has a few kilobytes; more is none.
const LIMIT: u64 = 10 * 1024 * 1024;

/// The archive of a context.
pub fn pack(context: &Context) -> Outcome<Vec<u8>> {
    let mut archive = tar::Builder::new(Vec::new());
    append(&mut archive, "meta.json", 0o644, context.document().to_string().as_bytes())?;
    for (name, bytes) in &context.tls {
        append(&mut archive, &format!("tls/docker/{name}"), 0o600, bytes)?;
    }
    Ok(archive.into_inner()?)
}

fn append(archive: &mut tar::Builder<Vec<u8>>, name: &str, mode: u32, bytes: &[u8]) -> Outcome<()> {
    let mut header = tar::Header::new_gnu();
    header.set_size(bytes.len() as u64);
    header.set_mode(mode);
    header.set_cksum();
    Ok(archive.append_data(&mut header, name, bytes)?)
}

/// The context in an archive, under another name. What else is in the archive is left there.
pub fn unpack(name: &str, bytes: &[u8]) -> Outcome<Context> {
    let wrong = |why: &str| Failure::new(format!("this is no exported context: {why}"));
    let mut context = None;
    let mut tls = Vec::new();
    let mut archive = tar::Archive::new(bytes.take(LIMIT));
    for entry in archive.entries()? {
        let mut entry = entry.map_err(|error| wrong(&error.to_string()))?;
        let path = entry.path_bytes().into_owned();
        let mut content = Vec::new();
        let file = TLS_FILES.iter().find(|file| path == format!("tls/docker/{file}").into_bytes());
        match (path.as_slice(), file) {
            (b"meta.json", _) => {
                entry.read_to_end(&mut content)?;
                let document = serde_json::from_slice(&content).map_err(|error| wrong(&error.to_string()))?;
                context = Context::from_document(&document);
            }
            (_, Some(file)) => {
                entry.read_to_end(&mut content)?;
                tls.push(((*file).to_owned(), content));
            }
            _ => {}
        }
    }
    let context = context.ok_or_else(|| wrong("it has no meta.json"))?;
    Ok(Context { name: name.to_owned(), tls, ..context })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_packed_is_unpacked() {
        let context = Context {
            name: "far".into(),
            host: "ssh://far".into(),
            tls: vec![("ca.pem".into(), b"ca".to_vec())],
            ..Context::default()
        };
        let archive = pack(&context).unwrap();
        assert_eq!(unpack("near", &archive).unwrap(), Context { name: "near".into(), ..context });
        assert!(unpack("x", b"nonsense").is_err());
    }
}
