//! `wharf build`: reading what is asked for, sending what the engine lacks, showing what happens, placing the result.

mod check;
mod context;
mod output;
mod progress;
mod spec;

use std::path::{Path, PathBuf};

use wharf_api::build::{BuildMessage, BuildSpec};
use wharf_client::Client;

use crate::app::App;
use crate::commands::builder::build::BuildFlags;
use crate::failure::{Failure, Outcome};
use output::Output;
use progress::{Display, Style};

/// Builds as the flags say.
pub async fn run(app: &App, flags: BuildFlags) -> Outcome {
    let outputs = flags.output.iter().map(|text| Output::parse(text)).collect::<Result<Vec<_>, _>>()?;
    for name in flags.limits.given() {
        crate::output::err(&format!("warning: {name} has no effect on a build here\n"));
    }
    let place = Place::find(&flags)?;
    let text = place.dockerfile()?;
    let ignore = place.ignore()?;
    if flags.check && place.remote.is_some() {
        return Err(Failure::new("only a Dockerfile that is here can be checked").with_hint("fetch it first"));
    }
    if flags.check {
        return check::run(&place.shown(), &text, &flags, &ignore);
    }
    let style = Style::of(&flags)?;
    let mut spec = spec::of(&flags, &place.shown(), text)?;
    spec.remote.clone_from(&place.remote);
    spec.logins = app.credentials()?.all()?;
    let client = app.client().await?;
    let mut display = Display::new(style);
    if let Some(folder) = &place.context {
        let sent = context::send(client, folder, ignore, &place.always()).await?;
        display.note(&format!("transferring context: {}", crate::output::size::of(sent.bytes)), sent.seconds);
        spec.contexts.insert(String::new(), sent.id);
    }
    for (name, folder) in spec::named_folders(&flags)? {
        let ignore = context::ignore_of(&folder)?;
        let sent = context::send(client, &folder, ignore, &[]).await?;
        spec.contexts.insert(name, sent.id);
    }
    let id = solve(client, &spec, &mut display).await?;
    display.finish(&id, &spec.tags)?;
    if let Some(path) = &flags.iidfile {
        std::fs::write(path, &id)
            .map_err(|error| Failure::new(format!("open {}: {}", path.display(), crate::output::os_error(&error))))?;
    }
    if let Some(path) = &flags.metadata_file {
        let digest = client.image_inspect(&id).await?.descriptor.map(|descriptor| descriptor.digest);
        output::metadata(path, &id, digest.as_deref().unwrap_or(&id), &spec.tags)?;
    }
    for output in &outputs {
        output.place(client, &id, &spec.tags).await?;
    }
    if outputs.iter().any(|output| !output.keeps_image()) && spec.tags.is_empty() {
        // It was only asked for as files; what it is made of stays in the cache. The same image may have a name from before.
        if client.image_inspect(&id).await.is_ok_and(|image| image.repo_tags.is_empty()) {
            drop(client.image_remove(&id, false, false).await);
        }
    }
    Ok(0)
}

async fn solve(client: &Client, spec: &BuildSpec, display: &mut Display) -> Outcome<String> {
    let mut lines = client.build_solve(spec).await?;
    let mut tick = tokio::time::interval(std::time::Duration::from_millis(100));
    loop {
        let message = tokio::select! {
            message = lines.next() => message,
            _ = tick.tick() => {
                display.tick()?;
                continue;
            }
        };
        match message {
            None => return Err(Failure::new("the engine ended the build without a result")),
            Some(Ok(BuildMessage::Image(id))) => return Ok(id),
            Some(Ok(BuildMessage::Error { message, hint, excerpt, code })) => {
                display.fail(excerpt.as_deref())?;
                let failure = Failure::new(format!("failed to solve: {message}"));
                let failure = match hint {
                    Some(hint) => failure.with_hint(hint),
                    None => failure,
                };
                let _ = code;
                return Err(failure);
            }
            Some(message) => display.show(&message?)?,
        }
    }
}

/// Where context and Dockerfile are.
struct Place {
    context: Option<PathBuf>,
    /// The Dockerfile, unless it comes from standard input.
    file: Option<PathBuf>,
    /// An address of files that the engine fetches.
    remote: Option<String>,
    /// The Dockerfile is on standard input.
    reads: bool,
}

/// Whether a context is for the engine to fetch.
fn is_remote(word: &str) -> bool {
    let schemes = ["http://", "https://", "git://", "ssh://", "git@", "github.com/"];
    schemes.iter().any(|scheme| word.starts_with(scheme))
}

impl Place {
    fn find(flags: &BuildFlags) -> Outcome<Self> {
        let word = flags.words[0].as_str();
        if word == "-" {
            if flags.file.is_some() {
                return Err(Failure::new("the context is the Dockerfile on standard input, so --file has no meaning"));
            }
            return Ok(Self { context: None, file: None, remote: None, reads: true });
        }
        if is_remote(word) {
            let file = flags.file.as_deref().filter(|file| *file != "-").map(PathBuf::from);
            let reads = flags.file.as_deref() == Some("-");
            return Ok(Self { context: None, file, remote: Some(word.to_owned()), reads });
        }
        let context = PathBuf::from(word);
        let is_folder = std::fs::metadata(&context)
            .map_err(|error| {
                Failure::new(format!("unable to prepare context: path {word:?}: {}", crate::output::os_error(&error)))
            })?
            .is_dir();
        if !is_folder {
            return Err(Failure::new(format!("unable to prepare context: path {word:?} is no folder")));
        }
        let file = match flags.file.as_deref() {
            Some("-") => None,
            Some(file) => Some(PathBuf::from(file)),
            None => {
                let usual = context.join("Dockerfile");
                let lower = context.join("dockerfile");
                Some(if !usual.exists() && lower.exists() { lower } else { usual })
            }
        };
        Ok(Self { context: Some(context), reads: file.is_none(), file, remote: None })
    }

    fn shown(&self) -> String {
        match &self.file {
            // Where the engine looks for it, folders matter.
            Some(file) if self.remote.is_some() => file.to_string_lossy().into_owned(),
            Some(file) => file.file_name().unwrap_or_default().to_string_lossy().into_owned(),
            None => "Dockerfile".into(),
        }
    }

    fn dockerfile(&self) -> Outcome<String> {
        if self.reads {
            return Ok(std::io::read_to_string(std::io::stdin())?);
        }
        let Some(file) = self.file.as_ref().filter(|_| self.remote.is_none()) else { return Ok(String::new()) };
        let bytes = std::fs::read(file).map_err(|error| {
            let why = crate::output::os_error(&error);
            Failure::new(format!("failed to read dockerfile: open {}: {why}", file.display()))
                .with_hint("name another one with --file")
        })?;
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// `<Dockerfile>.dockerignore` wins over the context's own.
    fn ignore(&self) -> Outcome<String> {
        if let Some(file) = self.file.as_ref().filter(|_| self.remote.is_none()) {
            let mut own = file.clone().into_os_string();
            own.push(".dockerignore");
            if let Ok(text) = std::fs::read_to_string(&own) {
                return Ok(text);
            }
        }
        self.context.as_deref().map_or_else(|| Ok(String::new()), context::ignore_of)
    }

    /// What is sent whatever is ignored: nothing, for the Dockerfile travels on its own.
    fn always(&self) -> Vec<String> {
        Vec::new()
    }
}

/// A folder's name that stays the same wherever one stands.
fn canonical(folder: &Path) -> PathBuf {
    folder.canonicalize().unwrap_or_else(|_| folder.to_owned())
}
