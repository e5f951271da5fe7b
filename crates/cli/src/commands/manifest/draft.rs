//! `manifest create`, `annotate`, `push`, `rm`: an index that is put together here, piece by piece, and then put into a
//! registry. Until then it is a file beside `config.json`.

use std::io::ErrorKind;
use std::path::PathBuf;

use clap::Args;
use serde_json::{Map, Value, json};
use wharf_types::Reference;

use super::create::members_of;
use super::inspect::{get, parse};
use crate::app::App;
use crate::commands::{Arity, Definition, definition};
use crate::credentials;
use crate::failure::{Failure, Outcome};
use crate::output;

const OCI: &str = "application/vnd.oci.image.index.v1+json";
const DOCKER: &str = "application/vnd.docker.distribution.manifest.list.v2+json";

/// An index that is in no registry yet.
struct Draft {
    path: PathBuf,
    members: Vec<Value>,
}

impl Draft {
    fn path(app: &App, name: &Reference) -> PathBuf {
        let file = name.to_string().replace(['/', ':', '@'], "_");
        credentials::folder_of(app.globals.config.as_deref()).join("manifests").join(format!("{file}.json"))
    }

    fn open(app: &App, name: &Reference) -> Outcome<Option<Self>> {
        let path = Self::path(app, name);
        match std::fs::read(&path) {
            Ok(bytes) => {
                let members = serde_json::from_slice(&bytes);
                let members =
                    members.map_err(|error| Failure::new(format!("cannot read {}: {error}", path.display())))?;
                Ok(Some(Self { path, members }))
            }
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error.into()),
        }
    }

    fn existing(app: &App, name: &Reference) -> Outcome<Self> {
        Self::open(app, name)?.ok_or_else(|| {
            Failure::new(format!("No such manifest: {}", name.familiar())).with_hint("'manifest create' begins one")
        })
    }

    fn save(&self) -> Outcome<()> {
        if let Some(folder) = self.path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        Ok(std::fs::write(&self.path, serde_json::to_vec_pretty(&self.members).unwrap_or_default())?)
    }

    /// Docker's kind of list for Docker's manifests.
    fn index(&self) -> (&'static str, Value) {
        let is_docker = |member: &Value| member["mediaType"].as_str().is_some_and(|kind| kind.contains("docker"));
        let kind = if !self.members.is_empty() && self.members.iter().all(is_docker) { DOCKER } else { OCI };
        (kind, json!({"schemaVersion": 2, "mediaType": kind, "manifests": self.members}))
    }
}

/// What `manifest create` takes.
#[derive(Debug, Args)]
pub struct CreateFlags {
    /// Add to a list that was begun before
    #[arg(short, long)]
    amend: bool,
    /// Accepted for scripts: the engine knows which registries may be spoken to in plain HTTP
    #[arg(long)]
    insecure: bool,
    /// The list, and images of its repository
    #[arg(value_name = "MANIFEST_LIST")]
    names: Vec<String>,
}

/// `manifest create`
pub const CREATE: Definition = {
    definition! {
        CreateFlags, create,
        names: &["manifest create"],
        about: "Begin a list of images for several platforms",
        usage: "MANIFEST_LIST MANIFEST [MANIFEST...]",
        arity: Arity::AtLeast(2),
    }
    DEFINITION
};

async fn create(app: &App, flags: CreateFlags) -> Outcome {
    let (list, sources) = flags.names.split_first().ok_or_else(|| Failure::new("no list is named"))?;
    let name = parse(list)?;
    let mut draft = match Draft::open(app, &name)? {
        Some(_) if !flags.amend => {
            let message =
                format!("refusing to amend an existing manifest list with no --amend flag: {}", name.familiar());
            return Err(Failure::new(message));
        }
        Some(draft) => draft,
        None => Draft { path: Draft::path(app, &name), members: Vec::new() },
    };
    for source in sources {
        let source = same_repository(&name, source)?;
        for member in members_of(app, &source).await? {
            draft.members.retain(|known| known["digest"] != member["digest"]);
            draft.members.push(member);
        }
    }
    draft.save()?;
    output::out(&format!("Created manifest list {name}\n"))?;
    Ok(0)
}

fn same_repository(list: &Reference, source: &str) -> Outcome<Reference> {
    let source = parse(source)?;
    if (source.domain(), source.path()) == (list.domain(), list.path()) {
        return Ok(source);
    }
    Err(Failure::new(format!("{} is in another repository than {}", source.familiar(), list.familiar()))
        .with_hint("push it to the repository of the list first"))
}

/// What `manifest annotate` takes.
#[derive(Debug, Args)]
pub struct AnnotateFlags {
    /// Processor
    #[arg(long, value_name = "string")]
    arch: Option<String>,
    /// Operating system
    #[arg(long, value_name = "string")]
    os: Option<String>,
    /// Features of the operating system
    #[arg(long, value_name = "strings", value_delimiter = ',')]
    os_features: Vec<String>,
    /// Version of the operating system
    #[arg(long, value_name = "string")]
    os_version: Option<String>,
    /// The processor's variant
    #[arg(long, value_name = "string")]
    variant: Option<String>,
    /// The list, and one of its images
    #[arg(value_name = "MANIFEST_LIST")]
    names: Vec<String>,
}

/// `manifest annotate`
pub const ANNOTATE: Definition = {
    definition! {
        AnnotateFlags, annotate,
        names: &["manifest annotate"],
        about: "Say for which platform an image of a list is",
        usage: "[OPTIONS] MANIFEST_LIST MANIFEST",
        arity: Arity::Exactly(2),
    }
    DEFINITION
};

async fn annotate(app: &App, flags: AnnotateFlags) -> Outcome {
    let name = parse(&flags.names[0])?;
    let mut draft = Draft::existing(app, &name)?;
    let image = same_repository(&name, &flags.names[1])?;
    let digest = match image.digest() {
        Some(digest) => digest.to_string(),
        None => get(app, &image).await?.digest,
    };
    let member = draft.members.iter_mut().find(|member| member["digest"] == digest.as_str());
    let member = member.ok_or_else(|| {
        Failure::new(format!("manifest for image {} does not exist in {}", image.familiar(), name.familiar()))
    })?;
    if !member["platform"].is_object() {
        member["platform"] = Value::Object(Map::new());
    }
    let platform = &mut member["platform"];
    let texts = [
        ("architecture", &flags.arch),
        ("os", &flags.os),
        ("os.version", &flags.os_version),
        ("variant", &flags.variant),
    ];
    for (key, value) in texts.into_iter().filter_map(|(key, value)| Some((key, value.as_ref()?))) {
        platform[key] = value.clone().into();
    }
    if !flags.os_features.is_empty() {
        platform["os.features"] = flags.os_features.into();
    }
    draft.save()?;
    Ok(0)
}

/// What `manifest push` takes.
#[derive(Debug, Args)]
pub struct PushFlags {
    /// Accepted for scripts: the engine knows which registries may be spoken to in plain HTTP
    #[arg(long)]
    insecure: bool,
    /// Forget the list here when it is there
    #[arg(short, long)]
    purge: bool,
    /// The list
    #[arg(value_name = "MANIFEST_LIST")]
    name: String,
}

/// `manifest push`
pub const PUSH: Definition = {
    definition! {
        PushFlags, push,
        names: &["manifest push"],
        about: "Put a list into its registry",
        usage: "[OPTIONS] MANIFEST_LIST",
        arity: Arity::Exactly(1),
    }
    DEFINITION
};

async fn push(app: &App, flags: PushFlags) -> Outcome {
    let name = parse(&flags.name)?;
    let draft = Draft::existing(app, &name)?;
    let (kind, index) = draft.index();
    let auth = app.credentials()?.get(name.domain())?;
    let client = app.client().await?;
    let bytes = index.to_string().into_bytes().into();
    let digest = client.put_remote_manifest(&name.to_string(), kind, bytes, Some(&auth)).await?;
    if flags.purge {
        std::fs::remove_file(&draft.path)?;
    }
    output::out(&format!("{digest}\n"))?;
    Ok(0)
}

/// What `manifest rm` takes.
#[derive(Debug, Args)]
pub struct RmFlags {
    /// The lists
    #[arg(value_name = "MANIFEST_LIST")]
    names: Vec<String>,
}

/// `manifest rm`
pub const RM: Definition = {
    definition! {
        RmFlags, rm,
        names: &["manifest rm"],
        about: "Forget lists that were begun here",
        usage: "MANIFEST_LIST [MANIFEST_LIST...]",
        arity: Arity::AtLeast(1),
    }
    DEFINITION
};

async fn rm(app: &App, flags: RmFlags) -> Outcome {
    for name in &flags.names {
        std::fs::remove_file(Draft::existing(app, &parse(name)?)?.path)?;
    }
    Ok(0)
}
