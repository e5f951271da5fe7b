//! Platforms as `os/architecture[/variant]`, in Go's spelling (OCI image-spec, "Image Index").

use std::fmt;
use std::str::FromStr;

/// The operating system and processor that an image is for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Platform {
    /// Go's `GOOS`, for instance `linux`.
    pub os: String,
    /// Go's `GOARCH`, for instance `amd64`.
    pub architecture: String,
    /// The processor's variant, for instance `v8`; often absent.
    pub variant: Option<String>,
}

/// Why a string is not a [`Platform`].
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("a platform looks like os/architecture[/variant], for instance linux/amd64, not {0:?}")]
pub struct PlatformError(String);

impl Platform {
    /// The platform that this program was compiled for.
    pub fn host() -> Self {
        Self { os: "linux".into(), architecture: go_architecture(std::env::consts::ARCH).into(), variant: None }
    }

    /// Whether an image for `self` runs where `wanted` is asked for: an absent variant matches any.
    pub fn satisfies(&self, wanted: &Platform) -> bool {
        self.os == wanted.os
            && self.architecture == wanted.architecture
            && (wanted.variant.is_none() || self.variant.is_none() || self.variant == wanted.variant)
    }
}

/// Go's name for what the kernel (`uname -m`) or Rust calls a processor; unknown names stay as they are.
fn go_architecture(name: &str) -> &str {
    match name {
        "x86_64" | "x86-64" => "amd64",
        "aarch64" => "arm64",
        "x86" | "i386" | "i686" => "386",
        "armhf" | "armv7l" => "arm",
        "powerpc64" => "ppc64le",
        "loongarch64" => "loong64",
        other => other,
    }
}

impl fmt::Display for Platform {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}", self.os, self.architecture)?;
        self.variant.as_ref().map_or(Ok(()), |variant| write!(f, "/{variant}"))
    }
}

impl FromStr for Platform {
    type Err = PlatformError;

    fn from_str(text: &str) -> Result<Self, PlatformError> {
        let lower = text.to_ascii_lowercase();
        let parts: Vec<&str> = lower.split('/').collect();
        let valid =
            |part: &&str| !part.is_empty() && part.bytes().all(|b| b.is_ascii_alphanumeric() || b"._-".contains(&b));
        if !parts.iter().all(valid) {
            return Err(PlatformError(text.to_owned()));
        }
        let of = |os: &str, architecture: &str, variant: Option<&&str>| Self {
            os: os.to_owned(),
            architecture: go_architecture(architecture).to_owned(),
            variant: variant.map(|v| (*v).to_owned()),
        };
        match parts[..] {
            ["linux"] => Ok(Self::host()),
            [architecture] => Ok(of("linux", architecture, None)),
            [os, architecture] => Ok(of(os, architecture, None)),
            [os, architecture, ref variant] => Ok(of(os, architecture, Some(variant))),
            _ => Err(PlatformError(text.to_owned())),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn platforms_are_read_in_every_spelling() {
        assert_eq!("linux/x86_64".parse::<Platform>().unwrap().to_string(), "linux/amd64");
        assert_eq!("aarch64".parse::<Platform>().unwrap().to_string(), "linux/arm64");
        assert_eq!("linux/arm/v7".parse::<Platform>().unwrap().variant.as_deref(), Some("v7"));
        for bad in ["", "/", "linux/", "a/b/c/d", "linux/am d64"] {
            assert!(bad.parse::<Platform>().is_err(), "{bad}");
        }
    }
}
