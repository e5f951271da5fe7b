//! What a connection with TLS needs, by flags and environment or from a context.

use std::path::Path;

use wharf_client::{Tls, TlsMaterial};

use crate::app::App;
use crate::context::{Context, TLS_FILES};
use crate::credentials::folder_of;
use crate::env;
use crate::failure::{Failure, Outcome};
use crate::output::os_error;

/// By `--tls*`, `DOCKER_TLS_VERIFY` and `DOCKER_TLS`; the files lie in `DOCKER_CERT_PATH` or the client's own folder.
pub fn of_flags(app: &App) -> Outcome<Option<Tls>> {
    let flags = &app.globals.tls;
    let named = [&flags.authorities, &flags.certificate, &flags.key].iter().any(|file| file.is_some());
    let verify = flags.verify.unwrap_or_else(|| env::text(env::DOCKER_TLS_VERIFY).is_some());
    if !(flags.tls || verify || named || env::text(env::DOCKER_TLS).is_some()) {
        return Ok(None);
    }
    let folder = env::text(env::DOCKER_CERT_PATH).map_or_else(|| folder_of(app.globals.config.as_deref()), Into::into);
    // Those that a flag names, or without which nothing works, must be there; of the others, as many as there are.
    let file = |flag: &Option<String>, name: &str, needed: bool| match flag {
        Some(path) => read(Path::new(path), true),
        None => read(&folder.join(name), needed),
    };
    let [authorities, certificate, key] = TLS_FILES;
    let certificate = file(&flags.certificate, certificate, false)?;
    let key = file(&flags.key, key, certificate.is_some())?;
    let authorities = if verify { file(&flags.authorities, authorities, true)? } else { None };
    tls(authorities, certificate.zip(key), verify).map(Some)
}

/// With a context's own certificates.
pub fn of_context(context: &Context) -> Outcome<Option<Tls>> {
    if context.tls.is_empty() && !context.skip_verify {
        return Ok(None);
    }
    let [authorities, certificate, key] = TLS_FILES.map(|file| context.tls_file(file).map(<[u8]>::to_vec));
    tls(authorities, certificate.zip(key), !context.skip_verify).map(Some)
}

fn tls(authorities: Option<Vec<u8>>, identity: Option<(Vec<u8>, Vec<u8>)>, verify: bool) -> Outcome<Tls> {
    Tls::new(&TlsMaterial { authorities, identity, verify }).map_err(|error| Failure::from(error).by_client())
}

fn read(path: &Path, needed: bool) -> Outcome<Option<Vec<u8>>> {
    match std::fs::read(path) {
        Ok(bytes) => Ok(Some(bytes)),
        Err(error) if error.kind() == std::io::ErrorKind::NotFound && !needed => Ok(None),
        Err(error) => Err(Failure::new(format!("could not read {}: {}", path.display(), os_error(&error)))
            .with_hint("'wharf system certificates' makes what both sides need; DOCKER_CERT_PATH says where it is")),
    }
}
