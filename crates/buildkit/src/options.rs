//! What a client says of a build, in the attributes of `dockerfile.v0`.

use std::collections::{BTreeMap, HashMap};

use wharf_engine::build::events::Network;
use wharf_engine::build::{NamedContext, Options};
use wharf_types::{Error, Platform, PlatformError, Reference, Result};

/// Everything that a build is, but its files.
#[derive(Debug, Clone, Default)]
pub(crate) struct Asked {
    /// For the planner.
    pub options: Options,
    /// The Dockerfile's path.
    pub filename: String,
    /// Where the Dockerfile is: a folder of the client.
    pub dockerfile_folder: Option<String>,
    /// Where the main context is.
    pub context: Place,
    /// Where named contexts with files are.
    pub named: BTreeMap<String, Place>,
    /// Ask registries for newer images.
    pub pull: bool,
    /// A question beside building: `lint`, `outline`, `targets`.
    pub question: Option<String>,
    /// For which platforms.
    pub platforms: Vec<Platform>,
}

/// Where files are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Place {
    /// A folder of the client, by the name under which it offers it.
    Folder(String),
    /// An archive that the client has, by the path of its address.
    Upload(String),
    /// Anywhere else.
    Address(String),
}

impl Default for Place {
    fn default() -> Self {
        Self::Folder("context".into())
    }
}

impl Place {
    fn read(text: &str) -> Self {
        if let Some(name) = text.strip_prefix("local:") {
            return Self::Folder(name.into());
        }
        match text.strip_prefix("http://buildkit-session/") {
            Some(path) => Self::Upload(format!("/{path}")),
            None => Self::Address(text.into()),
        }
    }
}

/// Reads the attributes.
///
/// # Errors
/// `InvalidParameter` for what makes no sense, `NotImplemented` for what is not there.
pub(crate) fn read(attrs: &HashMap<String, String>) -> Result<Asked> {
    let text = |name: &str| attrs.get(name).map(String::as_str).filter(|text| !text.is_empty());
    let with_prefix = |prefix: &'static str| {
        attrs.iter().filter_map(move |(name, value)| Some((name.strip_prefix(prefix)?.to_owned(), value.clone())))
    };
    let build_args: BTreeMap<String, String> = with_prefix("build-arg:").collect();
    let mut asked = Asked {
        filename: text("filename").unwrap_or("Dockerfile").to_owned(),
        pull: text("image-resolve-mode") == Some("pull"),
        question: text("requestid").map(|id| id.trim_start_matches("frontend.").to_owned()),
        ..Asked::default()
    };
    for name in text("platform").unwrap_or_default().split(',').filter(|text| !text.is_empty()) {
        let platform = name.parse().map_err(|error: PlatformError| Error::invalid(error.to_string()))?;
        asked.platforms.push(platform);
    }
    if let Some(context) = text("context") {
        asked.context = Place::read(context);
    } else if let Some(key) = text("contextkey") {
        asked.context = Place::Folder(key.into());
    }
    let has_own = text("context").is_none() || text("dockerfilekey").is_some();
    asked.dockerfile_folder = has_own.then(|| text("dockerfilekey").unwrap_or("dockerfile").to_owned());
    let mut contexts = BTreeMap::new();
    for (name, value) in with_prefix("context:") {
        // `name::platform` is for one platform only.
        let name = name.split("::").next().unwrap_or_default().to_owned();
        if let Some(image) = value.strip_prefix("docker-image://") {
            contexts.insert(name, NamedContext::Image(image.to_owned()));
            continue;
        }
        if value.starts_with("input:") || value.starts_with("target:") || value.starts_with("oci-layout:") {
            return Err(Error::not_implemented(format!(
                "the named context {name} is of a kind that is not supported: {value}"
            ))
            .with_hint("name a folder, an address or docker-image://IMAGE"));
        }
        asked.named.insert(name.clone(), Place::read(&value));
        contexts.insert(name, NamedContext::Files);
    }
    let hosts = text("add-hosts").unwrap_or_default().split(',').filter(|text| !text.is_empty());
    let host = |text: &str| {
        let pair = text.split_once('=').or_else(|| text.split_once(':'));
        pair.map(|(name, address)| (name.to_owned(), address.to_owned()))
            .ok_or_else(|| Error::invalid(format!("invalid add-hosts: {text:?}")))
    };
    let network = match text("force-network-mode") {
        None | Some("default" | "bridge" | "sandbox") => Network::Default,
        Some("none") => Network::None,
        Some("host") => Network::Host,
        Some(other) => return Err(Error::invalid(format!("network mode {other:?} is not supported by builds"))),
    };
    let no_cache = attrs.get("no-cache");
    asked.options = Options {
        epoch: build_args.get("SOURCE_DATE_EPOCH").and_then(|text| text.parse().ok()),
        build_args,
        target: text("target").map(str::to_owned),
        labels: with_prefix("label:").collect(),
        platform: asked.platforms.first().cloned(),
        no_cache: no_cache.is_some_and(String::is_empty),
        no_cache_filter: no_cache
            .iter()
            .flat_map(|text| text.split(','))
            .filter(|t| !t.is_empty())
            .map(Into::into)
            .collect(),
        contexts,
        network,
        extra_hosts: hosts.map(host).collect::<Result<_>>()?,
    };
    Ok(asked)
}

/// Names, as exporters have them: with commas between.
pub(crate) fn names(text: &str) -> Result<Vec<Reference>> {
    let name = |text: &str| {
        let name: std::result::Result<Reference, _> = text.parse();
        name.map_err(|error| Error::invalid(format!("invalid reference format: {text:?}")).caused_by(error))
    };
    text.split(',').map(str::trim).filter(|text| !text.is_empty()).map(name).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn of(pairs: &[(&str, &str)]) -> Result<Asked> {
        read(&pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect())
    }

    #[test]
    fn attributes_become_options() {
        let asked = of(&[
            ("filename", "x.Dockerfile"),
            ("build-arg:A", "1"),
            ("label:l", "v"),
            ("no-cache", "one,two"),
            ("platform", "linux/amd64"),
            ("add-hosts", "a=1.2.3.4,b=::1"),
            ("force-network-mode", "none"),
            ("image-resolve-mode", "pull"),
            ("context:base", "docker-image://busybox"),
            ("context:more", "local:more"),
            ("context", "http://buildkit-session/abc"),
        ])
        .unwrap();
        assert_eq!((asked.filename.as_str(), asked.pull), ("x.Dockerfile", true));
        assert_eq!(asked.options.build_args["A"], "1");
        assert!(!asked.options.no_cache);
        assert_eq!(asked.options.no_cache_filter, ["one", "two"]);
        assert_eq!(asked.options.extra_hosts[1], ("b".into(), "::1".into()));
        assert_eq!(asked.options.contexts["base"], NamedContext::Image("busybox".into()));
        assert_eq!(asked.named["more"], Place::Folder("more".into()));
        assert_eq!((asked.context, asked.dockerfile_folder), (Place::Upload("/abc".into()), None));
        assert_eq!(of(&[]).unwrap().dockerfile_folder.as_deref(), Some("dockerfile"));
        assert!(of(&[("no-cache", "")]).unwrap().options.no_cache);
        assert!(of(&[("platform", "!")]).is_err());
        assert!(of(&[("context:a", "input:b")]).is_err());
    }

    #[test]
    fn exporters_name_several_images() {
        assert_eq!(names("a, b:1,").unwrap().len(), 2);
        assert!(names("UPPER").is_err());
    }
}
