//! Making an image of a container.

use std::os::fd::AsFd;

use rustix::fs::{Mode, OFlags, open};
use wharf_api::container::Config;
use wharf_image::{CommitOptions, ImageConfig, ImageId};
use wharf_storage::tar;
use wharf_types::{Error, Result, ResultExt};

use super::Containers;
use super::request::Request;

impl Containers {
    /// Makes an image of what the container was made of and what it has written. With `pause` its processes stand still
    /// meanwhile, so that files are caught between two writes and not within one.
    ///
    /// `config` replaces the container's own configuration; parent and history are filled in here.
    pub async fn commit(
        &self,
        name: &str,
        config: Option<Config>,
        mut options: CommitOptions,
        pause: bool,
    ) -> Result<ImageId> {
        let entry = self.directory.find(name)?;
        let snapshot = entry.now();
        let record = snapshot.record;
        options.parent = Some(record.image);
        options.created_by = record.argv().join(" ");
        options.config = image_config(config.as_ref().unwrap_or(&record.config))?;
        let paused = pause
            && snapshot.state.running().is_some_and(|running| !running.paused)
            && entry.ask(|reply| Request::Pause(true, reply)).await.is_ok();
        let upper = self.services.images.snapshots().get(&record.id).upper;
        let made = self.services.images.run(move |store| {
            let upper = open(&upper, OFlags::RDONLY | OFlags::DIRECTORY | OFlags::CLOEXEC, Mode::empty())
                .map_err(std::io::Error::from)
                .context("cannot open what the container wrote")?;
            let (reader, writer) = std::io::pipe().context("cannot make a pipe")?;
            std::thread::scope(|scope| {
                let writing = scope.spawn(|| tar::diff(upper.as_fd(), std::io::BufWriter::new(writer)));
                let made = store.commit(reader, &options);
                // A reader that failed breaks the writer's pipe: its error is the cause.
                made.and_then(|id| writing.join().unwrap_or_else(|_| Err(Error::system("reading failed"))).map(|()| id))
            })
        });
        let made = made.await;
        if paused {
            entry.ask(|reply| Request::Pause(false, reply)).await?;
        }
        let id = made?;
        let attributes = record.event_attributes().into_iter().chain([("imageID".to_owned(), id.to_string())]);
        self.services.events.publish("container", "commit", &record.id.to_string(), attributes);
        Ok(id)
    }
}

/// The part of a container's configuration that an image keeps; both speak Docker's names.
fn image_config(config: &Config) -> Result<ImageConfig> {
    let document = serde_json::to_value(config).and_then(serde_json::from_value::<ImageConfig>);
    let mut config =
        document.map_err(|error| Error::system("cannot make an image's configuration").caused_by(error))?;
    // What belongs to the container alone arrives here as fields that an image does not know.
    config.extra.clear();
    Ok(config)
}
