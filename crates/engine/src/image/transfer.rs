//! Images in and out of the engine as streams.

use std::io::{Read, Write};

use wharf_image::{ImageId, ImportOptions, Loaded, Progress};
use wharf_types::{Platform, Result};

use super::Images;

impl Images {
    /// Makes an image of a root file system's tar.
    pub async fn import(&self, stream: impl Read + Send + 'static, options: ImportOptions) -> Result<ImageId> {
        let name = options.reference.as_ref().map_or_else(String::new, |name| name.familiar());
        let id = self.run(move |store| store.import(stream, &options)).await?;
        self.tell("import", &id.to_string(), &name);
        self.give_up_blobs_later();
        Ok(id)
    }

    /// Brings in all images of an archive, or those for one platform.
    pub async fn load(
        &self,
        stream: impl Read + Send + 'static,
        platform: Option<Platform>,
        progress: impl Fn(Progress) + Send + Sync + 'static,
    ) -> Result<Vec<Loaded>> {
        let loaded = self.run(move |store| store.load(stream, platform.as_ref(), &progress)).await?;
        for image in &loaded {
            let (id, name) = match image {
                Loaded::Name(name, id) => (id, name.familiar()),
                Loaded::Id(id) => (id, id.to_string()),
            };
            self.tell("load", &id.to_string(), &name);
        }
        self.give_up_blobs_later();
        Ok(loaded)
    }

    /// Writes images as an archive, with all platforms that are here or with one.
    pub async fn save(
        &self,
        names: Vec<String>,
        platform: Option<Platform>,
        out: impl Write + Send + 'static,
    ) -> Result<()> {
        let told = names.clone();
        self.run(move |store| {
            let names: Vec<&str> = names.iter().map(String::as_str).collect();
            store.save(&names, platform.as_ref(), out)
        })
        .await?;
        for name in told {
            self.tell("save", &name, &name);
        }
        Ok(())
    }
}
