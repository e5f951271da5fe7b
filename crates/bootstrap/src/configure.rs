//! What goes into the root file system beside the packages, and the script that completes it inside a container.

use crate::options::Options;
use crate::plan::{Chosen, Plan};
use crate::rootfs::RootFs;
use std::fmt::Write as _;
use std::io::Write;
use wharf_types::Result;

/// Where the script and its data lie; nothing of it gets into the image.
pub const FOLDER: &str = "wharf-bootstrap";

/// The command of the container.
pub const COMMAND: [&str; 2] = ["/bin/sh", "/wharf-bootstrap/configure"];

/// The search path of the image and of the script.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// A repository as the image's own apt shall know it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct AptSource {
    /// Its address.
    pub uri: String,
    /// Its suites, by code name.
    pub suites: Vec<String>,
}

/// Adds apt's and dpkg's settings, a guard against services, and the script.
pub fn add_files<W: Write>(root: &mut RootFs<W>, plan: &Plan, options: &Options, time: u64) -> Result<()> {
    for path in [
        "etc/apt/apt.conf.d",
        "etc/apt/sources.list.d",
        "etc/dpkg/dpkg.cfg.d",
        "var/lib/dpkg/updates",
        "var/lib/dpkg/alternatives",
    ] {
        root.file_parent(&format!("{path}/x"))?;
    }
    // What nothing brings but everything expects: a shell, and an awk before the alternatives are set up.
    root.symlink("usr/bin/sh", "dash")?;
    if root.has("usr/bin/mawk") {
        root.symlink("usr/bin/awk", "mawk")?;
    }
    for (path, content) in SETTINGS {
        root.file(path, 0o644, content.as_bytes())?;
    }
    root.file("usr/sbin/policy-rc.d", 0o755, POLICY.as_bytes())?;
    let distribution = &options.suite.distribution;
    let keyring =
        ["gpg", "pgp"].map(|extension| format!("usr/share/keyrings/{distribution}-archive-keyring.{extension}"));
    let keyring = keyring.iter().find(|path| root.has(path)).map(String::as_str);
    let list = format!("etc/apt/sources.list.d/{distribution}.sources");
    root.file(&list, 0o644, apt_sources(&plan.sources, &options.components, keyring).as_bytes())?;
    add_script(root, plan, options, time)
}

fn add_script<W: Write>(root: &mut RootFs<W>, plan: &Plan, options: &Options, time: u64) -> Result<()> {
    let mut preinst = String::new();
    for package in root.with_preinst() {
        let _ = writeln!(preinst, "{} {} {}", package.qualified, package.name, package.architecture);
    }
    let asked = |package: &Chosen| options.include.contains(&package.name);
    let automatic: String =
        plan.extra.iter().filter(|package| !asked(package)).flat_map(|package| [package.name.as_str(), "\n"]).collect();
    root.file(&format!("{FOLDER}/preinst"), 0o644, preinst.as_bytes())?;
    root.file(&format!("{FOLDER}/automatic"), 0o644, automatic.as_bytes())?;
    let script = SCRIPT.replace("@TIME@", &time.to_string()).replace("@PATH@", PATH);
    root.file(&format!("{FOLDER}/configure"), 0o755, script.as_bytes())
}

/// Where the archive of an included package lies for the script.
pub fn archive_path(package: &Chosen) -> String {
    format!("{FOLDER}/archives/{}_{}.deb", package.name, package.architecture)
}

fn apt_sources(sources: &[AptSource], components: &[String], keyring: Option<&str>) -> String {
    let paragraph = |source: &AptSource| {
        let mut text = format!(
            "Types: deb\nURIs: {}\nSuites: {}\nComponents: {}\n",
            source.uri,
            source.suites.join(" "),
            components.join(" ")
        );
        if let Some(path) = keyring {
            let _ = writeln!(text, "Signed-By: /{path}");
        }
        text
    };
    sources.iter().map(paragraph).collect::<Vec<_>>().join("\n")
}

/// The settings that make images small and builds quick; tools that edit images look for them by these names.
const SETTINGS: [(&str, &str); 5] = [
    (
        "etc/apt/apt.conf.d/docker-clean",
        "// Downloaded packages and apt's binary caches would only make layers larger.\n\
         DPkg::Post-Invoke { \"rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true\"; };\n\
         APT::Update::Post-Invoke { \"rm -f /var/cache/apt/archives/*.deb /var/cache/apt/archives/partial/*.deb /var/cache/apt/*.bin || true\"; };\n\
         Dir::Cache::pkgcache \"\";\n\
         Dir::Cache::srcpkgcache \"\";\n",
    ),
    (
        "etc/apt/apt.conf.d/docker-gzip-indexes",
        "// Package indices stay compressed on disk.\nAcquire::GzipIndexes \"true\";\n",
    ),
    (
        "etc/apt/apt.conf.d/docker-no-languages",
        "// Translated descriptions are not fetched.\nAcquire::Languages \"none\";\n",
    ),
    (
        "etc/apt/apt.conf.d/docker-autoremove-suggests",
        "// A mere suggestion does not keep a package from being removed automatically.\nApt::AutoRemove::SuggestsImportant \"false\";\n",
    ),
    (
        "etc/dpkg/dpkg.cfg.d/docker-apt-speedup",
        "# A build that fails is thrown away whole, so dpkg need not force every file to disk.\nforce-unsafe-io\n",
    ),
];

/// Services are not started when packages are installed: a container has no service manager.
const POLICY: &str =
    "#!/bin/sh\n# No service is started while packages are installed: 101 means that it is not allowed.\nexit 101\n";

/// Runs as root inside the container, without network. The scripts that come before unpacking run first, with all
/// files in place, as they do for essential packages in Debian's own installer; then dpkg configures everything.
const SCRIPT: &str = r#"#!/bin/sh
set -e
umask 022
cd /
export PATH=@PATH@ HOME=/root LC_ALL=C SOURCE_DATE_EPOCH=@TIME@
export DEBIAN_FRONTEND=noninteractive DEBCONF_NONINTERACTIVE_SEEN=true
here=/wharf-bootstrap
db=/var/lib/dpkg

while read -r qualified name architecture; do
    DPKG_MAINTSCRIPT_PACKAGE=$name DPKG_MAINTSCRIPT_ARCH=$architecture DPKG_MAINTSCRIPT_NAME=preinst \
    DPKG_MAINTSCRIPT_PACKAGE_REFCOUNT=1 DPKG_ADMINDIR=$db DPKG_ROOT= \
        "$db/info/$qualified.preinst" install </dev/null || { echo "the preinst script of $name failed"; exit 1; }
done <$here/preinst

[ -e /etc/localtime ] || ln -s /usr/share/zoneinfo/Etc/UTC /etc/localtime
first=
for name in base-passwd base-files; do
    [ ! -e $db/info/$name.list ] || first="$first $name"
done
[ -z "$first" ] || dpkg --force-depends --configure $first </dev/null
dpkg --configure --pending </dev/null

if [ -d $here/archives ]; then
    apt-get --yes --quiet --no-install-recommends --option Dir::Etc::SourceList=/dev/null \
        --option Dir::Etc::SourceParts=/dev/null --option Debug::NoLocking=true install $here/archives/*.deb </dev/null
    [ ! -s $here/automatic ] || xargs apt-mark auto <$here/automatic >/dev/null
fi

problems=$(dpkg --audit)
[ -z "$problems" ] || { echo "$problems"; exit 1; }

[ ! -e /etc/machine-id ] || : >/etc/machine-id
rm -rf /var/cache/apt/* /var/lib/apt/lists/* /var/cache/ldconfig/aux-cache /tmp/* /var/tmp/*
rm -f $db/*-old $db/lock* $db/triggers/Lock /var/cache/debconf/*-old /etc/passwd- /etc/group- /etc/shadow- /etc/gshadow- /etc/.pwd.lock
rm -rf /var/log/apt/* /var/log/*.log
find /var/log -type f -exec truncate --size=0 {} +
mkdir -p /var/cache/apt/archives/partial /var/lib/apt/lists/partial
"#;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn apt_knows_the_mirror() {
        let sources = [
            AptSource {
                uri: "http://m.test/debian".into(),
                suites: vec!["bookworm".into(), "bookworm-updates".into()],
            },
            AptSource { uri: "http://m.test/sec".into(), suites: vec!["bookworm-security".into()] },
        ];
        let expected = "Types: deb\nURIs: http://m.test/debian\nSuites: bookworm bookworm-updates\nComponents: main\nSigned-By: /k.gpg\n\n\
                        Types: deb\nURIs: http://m.test/sec\nSuites: bookworm-security\nComponents: main\nSigned-By: /k.gpg\n";
        let text = apt_sources(&sources, &["main".into()], Some("k.gpg"));
        assert_eq!(text, expected);
        assert_eq!(crate::sources::parse_deb822(&text).len(), 2);
    }

    #[test]
    fn the_script_is_accepted_by_a_shell() {
        let mut shell =
            std::process::Command::new("/bin/sh").arg("-n").stdin(std::process::Stdio::piped()).spawn().unwrap();
        shell.stdin.take().unwrap().write_all(SCRIPT.as_bytes()).unwrap();
        assert!(shell.wait().unwrap().success());
    }
}
