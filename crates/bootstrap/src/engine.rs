//! Any engine that speaks Docker's API, through the client.

use crate::target::{ByteStream, ContainerRequest, ExistingImage, ImportRequest, Target};
use wharf_api::container::{Config, CreateRequest, HostConfig};
use wharf_client::{Client, ContainerRemoveOptions, ImportOptions, LogOptions, Upload, WaitCondition};
use wharf_types::{Error, Kind, Result};

impl Target for Client {
    async fn image(&self, name: &str) -> Result<Option<ExistingImage>> {
        match self.image_inspect(name).await {
            Ok(image) => {
                let labels = image.config.unwrap_or_default().labels;
                Ok(Some(ExistingImage { id: image.id, labels: labels.into_iter().collect() }))
            }
            Err(error) if error.kind() == Kind::NotFound => Ok(None),
            Err(error) => Err(error),
        }
    }

    async fn import(&self, request: ImportRequest, archive: ByteStream) -> Result<String> {
        let options = ImportOptions {
            repository: request.name.map(|(repository, tag)| format!("{repository}:{tag}")).unwrap_or_default(),
            message: Some(request.message),
            changes: request.changes,
            platform: None,
            source: None,
        };
        let mut lines = self.image_import(&options, Upload::new(archive)).await?;
        let mut id = None;
        while let Some(line) = lines.next_progress().await {
            id = line?.status.filter(|status| status.starts_with("sha256:")).or(id);
        }
        id.ok_or_else(|| Error::system("the engine did not say which image it has imported"))
    }

    async fn create(&self, request: ContainerRequest) -> Result<()> {
        let config = Config {
            image: request.image,
            cmd: request.command.into(),
            labels: request.labels.into_iter().collect(),
            ..Config::default()
        };
        let host = HostConfig { network_mode: "none".to_owned(), ..HostConfig::default() };
        let create = CreateRequest { config, host_config: Some(host), networking_config: None };
        self.container_create(Some(&request.name), None, &create).await.map(drop)
    }

    async fn start(&self, container: &str) -> Result<()> {
        self.container_start(container, None).await
    }

    async fn wait(&self, container: &str) -> Result<i64> {
        let outcome = self.container_wait(container, WaitCondition::NotRunning).await?.outcome().await?;
        match outcome.error {
            Some(error) if !error.message.is_empty() => Err(Error::system(error.message)),
            _ => Ok(outcome.status_code),
        }
    }

    async fn logs(&self, container: &str, lines: usize) -> Result<String> {
        let options = LogOptions { stdout: true, stderr: true, tail: Some(lines.to_string()), ..LogOptions::default() };
        let mut output = self.container_logs(container, &options, false).await?;
        let mut text = Vec::new();
        while let Some(chunk) = output.next().await {
            text.extend_from_slice(&chunk?.bytes);
        }
        Ok(String::from_utf8_lossy(&text).into_owned())
    }

    async fn export(&self, container: &str) -> Result<ByteStream> {
        let archive = self.container_export(container).await?;
        let pieces = futures_util::stream::unfold(archive, |mut archive| async move {
            let piece = archive.next().await?.map_err(std::io::Error::other);
            Some((piece, archive))
        });
        Ok(Box::pin(pieces))
    }

    async fn remove_container(&self, container: &str) -> Result<()> {
        self.container_remove(container, ContainerRemoveOptions { force: true, volumes: true, link: false }).await
    }

    async fn remove_image(&self, image: &str) -> Result<()> {
        Client::image_remove(self, image, false, false).await.map(drop)
    }
}
