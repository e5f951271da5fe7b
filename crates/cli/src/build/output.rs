//! `--output`: where the result goes beside the engine.

use std::path::{Path, PathBuf};

use serde_json::json;
use wharf_api::container::CreateRequest;
use wharf_client::Client;

use crate::copy::extract::{Root, Target, extract};
use crate::failure::{Failure, Outcome};
use crate::grammar::csv;
use crate::output::sink::Sink;

/// One place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Output {
    /// The engine.
    Image,
    /// An archive of the image.
    Archive(Option<String>),
    /// An archive of its files.
    Tar(Option<String>),
    /// Its files in a folder.
    Local(PathBuf),
}

impl Output {
    /// Reads `type=…,dest=…`, a folder's name, or `-`.
    pub fn parse(text: &str) -> Outcome<Self> {
        if text == "-" {
            return Ok(Self::Tar(None));
        }
        if !text.contains('=') {
            return Ok(Self::Local(text.into()));
        }
        let (mut kind, mut dest) = (String::new(), None);
        for field in csv::fields(text).map_err(|error| Failure::new(format!("invalid output {text:?}: {error}")))? {
            match field.split_once('=') {
                Some(("type", value)) => value.clone_into(&mut kind),
                Some(("dest", value)) => dest = Some(value.to_owned()),
                Some(("name" | "push", _)) => {
                    return Err(Failure::new(format!("output field {field:?} is not supported"))
                        .with_hint("use --tag, and 'wharf push'"));
                }
                Some(_) => {}
                None => return Err(Failure::new(format!("invalid value {field} in output {text:?}"))),
            }
        }
        let dest = dest.filter(|dest| dest != "-");
        match kind.as_str() {
            "image" => Ok(Self::Image),
            "docker" | "oci" if dest.is_none() && kind == "docker" => Ok(Self::Image),
            "docker" | "oci" => Ok(Self::Archive(dest)),
            "tar" => Ok(Self::Tar(dest)),
            "local" => dest
                .map(|dest| Self::Local(dest.into()))
                .ok_or_else(|| Failure::new("dest is required for local output")),
            other => Err(Failure::new(format!("unsupported output type {other:?}"))
                .with_hint("image, docker, oci, tar and local are there")),
        }
    }

    /// Whether an image is wanted, not only its files.
    pub fn keeps_image(&self) -> bool {
        *self == Self::Image
    }

    /// Brings the result there.
    pub async fn place(&self, client: &Client, id: &str, tags: &[String]) -> Outcome<()> {
        match self {
            Self::Image => Ok(()),
            Self::Archive(dest) => {
                let names = if tags.is_empty() { vec![id.to_owned()] } else { tags.to_vec() };
                let mut bytes = client.image_save(&names, None).await?;
                Sink::open(dest.as_deref(), "wharf")?.fill(&mut bytes).await
            }
            Self::Tar(dest) => {
                let container = Files::make(client, id).await?;
                let filled = async {
                    let mut bytes = client.container_export(&container.id).await?;
                    Sink::open(dest.as_deref(), "wharf")?.fill(&mut bytes).await
                };
                let filled = filled.await;
                container.remove(client).await?;
                filled
            }
            Self::Local(folder) => local(client, id, folder).await,
        }
    }
}

async fn local(client: &Client, id: &str, folder: &Path) -> Outcome<()> {
    std::fs::create_dir_all(folder)
        .map_err(|error| Failure::new(format!("mkdir {}: {}", folder.display(), crate::output::os_error(&error))))?;
    let container = Files::make(client, id).await?;
    let unpacked = async {
        let archive = tempfile_in(folder)?;
        let mut file = tokio::fs::File::create(&archive.0).await?;
        client.container_export(&container.id).await?.copy_to(&mut file).await?;
        let target = Target { folder: folder.to_owned(), root: Root::Keep, owners: false };
        extract(std::fs::File::open(&archive.0)?, &target)?;
        Ok(())
    };
    let unpacked = unpacked.await;
    container.remove(client).await?;
    unpacked
}

/// A file that goes when it is no longer needed.
struct Passing(PathBuf);

impl Drop for Passing {
    fn drop(&mut self) {
        // It is in a folder of the person's own; what cannot be removed can be seen there.
        drop(std::fs::remove_file(&self.0));
    }
}

fn tempfile_in(folder: &Path) -> Outcome<Passing> {
    Ok(Passing(folder.join(format!(".wharf-build-{}.tar", std::process::id()))))
}

/// A container that is never started: its files are the image's.
struct Files {
    id: String,
}

impl Files {
    async fn make(client: &Client, image: &str) -> Outcome<Self> {
        let mut request = CreateRequest::default();
        request.config.image = image.to_owned();
        request.config.cmd = vec!["-".to_owned()].into();
        let created = client.container_create(None, None, &request).await?;
        Ok(Self { id: created.id })
    }

    async fn remove(self, client: &Client) -> Outcome<()> {
        Ok(client.container_remove(&self.id, Default::default()).await?)
    }
}

/// `--metadata-file`.
pub fn metadata(path: &Path, id: &str, digest: &str, tags: &[String]) -> Outcome<()> {
    let document = json!({
        "containerimage.config.digest": id,
        "containerimage.digest": digest,
        "image.name": tags.join(","),
    });
    let text = serde_json::to_string_pretty(&document).unwrap_or_default();
    std::fs::write(path, text + "\n")
        .map_err(|error| Failure::new(format!("open {}: {}", path.display(), crate::output::os_error(&error))))
}
