//! A file at any address, fetched as registries' content is: through the same proxies, trusting the same certificates.

use bytes::Bytes;
use reqwest::{Method, Response, Url};
use wharf_types::{Error, Kind, Result};

use super::failure::Failure;
use super::host;
use super::repository::Registry;
use super::transport::Call;

/// A file that is being fetched.
pub struct Download {
    response: Response,
    name: String,
}

impl Registry {
    /// Begins to fetch what is at an address with `http` or `https`. Nobody's credentials are used.
    pub async fn download(&self, address: &str) -> Result<Download> {
        let wrong = || Error::invalid(format!("{address:?} is no address of the web"));
        let url = Url::parse(address).ok().filter(|url| matches!(url.scheme(), "http" | "https")).ok_or_else(wrong)?;
        let name = host::authority(&url);
        let host = host::all(self.settings(), &name)?.pop().ok_or_else(wrong)?;
        let response = self.transport().exchange(&host, &Call::new(Method::GET, url), None).await?;
        if !response.status().is_success() {
            return Err(Failure::of_answer(&name, response).await.into());
        }
        Ok(Download { response, name })
    }
}

impl Download {
    /// Its size in bytes, where the server says it.
    pub fn size(&self) -> Option<u64> {
        self.response.content_length()
    }

    /// A header of the answer, if it is there and text.
    pub fn header(&self, name: &str) -> Option<&str> {
        self.response.headers().get(name)?.to_str().ok()
    }

    /// The next piece, `None` at the end.
    pub async fn next(&mut self) -> Result<Option<Bytes>> {
        self.response.chunk().await.map_err(|error| {
            Error::new(Kind::Unavailable, format!("the download from {} broke off", self.name)).caused_by(error)
        })
    }
}
