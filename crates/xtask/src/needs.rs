//! What the tests need from outside, fetched from the package registries where it is missing, and said.

use std::fs;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use wharf_testkit::foreign::find;

use crate::{cargo, command};

/// A program and the Debian package it comes in.
#[derive(Debug, Clone, Copy)]
pub struct Program {
    name: &'static str,
    package: &'static str,
    why: &'static str,
}

const fn program(name: &'static str, package: &'static str, why: &'static str) -> Program {
    Program { name, package, why }
}

/// What the end-to-end tests use.
pub const FOR_TESTS: &[Program] = &[
    program("busybox", "busybox-static", "the golden image"),
    program("ip", "iproute2", "a second machine on the network"),
    program("nsenter", "util-linux", "other programs inside a container's network"),
    program("nft", "nftables", "a firewall that flushes everything"),
    program("dig", "bind9-dnsutils", "names asked for by another program"),
    program("docker", "docker.io", "the stock command line as a client"),
    program("dockerd", "docker.io", "the same requests answered by another engine"),
    program("skopeo", "skopeo", "archives written by another program"),
    program("umoci", "umoci", "images unpacked by another program"),
    program("docker-registry", "docker-registry", "images to and from another registry"),
    program("buildah", "buildah", "images into a registry"),
    program("podman", "podman", "images into and out of a registry"),
    program("chromium-headless-shell", "chromium-headless-shell", "the registry's page in a browser"),
    program("strace", "strace", "ending a process at a chosen system call"),
    program("python3", "python3", "docker-py and testcontainers as clients"),
    program("docker-compose", "docker-compose", "projects of several containers"),
    program("ansible-playbook", "ansible", "configuration management that knows containers"),
    program("node", "nodejs", "dockerode as a client"),
    program("npm", "npm", "brings dockerode"),
    program("git", "git", "repositories as contexts of builds"),
    program("ssh-agent", "openssh-client", "an agent for builds"),
    program("pg_lsclusters", "postgresql", "a database that is killed"),
    program("redis-server", "redis-server", "a cache that is killed"),
    program("tmux", "tmux", "a terminal with somebody at it"),
];

/// What the virtual machine uses.
pub const FOR_VM: &[Program] = &[
    program("busybox", "busybox-static", "the machine's first program"),
    program("qemu-system-x86_64", "qemu-system-x86", "the machine itself"),
    program("debootstrap", "debootstrap", "the machine's disk"),
    program("mke2fs", "e2fsprogs", "the machine's disk"),
];

/// Installs those programs that are not on the PATH.
pub fn install(programs: &[Program]) -> Result<()> {
    let missing: Vec<_> = programs.iter().filter(|program| find(program.name).is_none()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    for program in &missing {
        println!("fetching {} from Debian's registry: {} ({})", program.package, program.name, program.why);
    }
    let packages: Vec<&str> = missing.iter().map(|program| program.package).collect();
    apt_install(&packages)?;
    for program in missing {
        ensure!(find(program.name).is_some(), "the package {} has brought no {}", program.package, program.name);
    }
    Ok(())
}

/// Installs packages without starting any service that they bring.
pub fn apt_install(packages: &[&str]) -> Result<()> {
    ensure!(find("apt-get").is_some(), "there is no apt-get here; install by hand: {}", packages.join(" "));
    let _policy = NoServices::declare()?;
    let install = || {
        let mut command = command::words("apt-get install --yes --no-install-recommends --quiet");
        command.args(packages).env("DEBIAN_FRONTEND", "noninteractive");
        command::quietly(&mut command)
    };
    // The lists of a machine may be missing or old; they are fetched only when it turns out so.
    if install().is_err() {
        command::quietly(&mut command::words("apt-get update --quiet"))?;
        install().context("cannot install what the tests need")?;
    }
    Ok(())
}

/// Debian's way to say that no service may be started (invoke-rc.d(8)): a policy program, taken back when this goes.
struct NoServices(Option<PathBuf>);

impl NoServices {
    fn declare() -> Result<Self> {
        let path = Path::new("/usr/sbin/policy-rc.d");
        if path.exists() {
            return Ok(Self(None));
        }
        fs::write(path, "#!/bin/sh\nexit 101\n")
            .context("cannot write the policy that keeps services from starting")?;
        fs::set_permissions(path, fs::Permissions::from_mode(0o755))?;
        Ok(Self(Some(path.to_owned())))
    }
}

impl Drop for NoServices {
    fn drop(&mut self) {
        if let Some(Err(error)) = self.0.as_ref().map(fs::remove_file) {
            eprintln!("cannot remove /usr/sbin/policy-rc.d: {error}");
        }
    }
}

/// Installs rustfmt and clippy where a minimal toolchain came without them.
pub fn components() -> Result<()> {
    for (component, question) in [("rustfmt", "fmt --version"), ("clippy", "clippy --version")] {
        if command::quietly(&mut cargo::cargo(question)).is_err() {
            println!("fetching {component} from Rust's registry: it checks the code");
            command::quietly(&mut command::words(&format!("rustup component add {component}")))?;
        }
    }
    Ok(())
}

/// Installs cargo-nextest where it is missing.
pub fn nextest() -> Result<()> {
    if command::quietly(&mut cargo::cargo("nextest --version")).is_ok() {
        return Ok(());
    }
    println!("fetching cargo-nextest from the crate registry: it runs the tests");
    // Its own target folder would be thrown away; this one is kept. Built for the host without the project's flags.
    let mut install = cargo::cargo("install --locked --debug cargo-nextest");
    install.current_dir("/").env("CARGO_TARGET_DIR", command::target().join("nextest-build"));
    command::run(&mut install)
}

/// A Python environment with `docker` and `testcontainers` below the target folder; gives its interpreter.
pub fn docker_py() -> Result<PathBuf> {
    let works = |folder: &Path| imports(folder, "docker, testcontainers.core.container");
    let packages = ["docker>=7,<8", "testcontainers>=4,<5"];
    Ok(python("docker-py", &packages, "SDKs as clients", works)?.join("bin/python3"))
}

/// An object store that speaks S3, in a Python environment of its own; gives its program.
pub fn moto() -> Result<PathBuf> {
    let packages = ["moto[s3]>=5.1,<6", "flask", "flask-cors", "werkzeug"];
    let works = |folder: &Path| imports(folder, "moto.server");
    Ok(python("moto", &packages, "several registries over one bucket", works)?.join("bin/moto_server"))
}

/// A Python environment below the target folder with some packages from PyPI; gives its folder.
fn python(name: &str, packages: &[&str], why: &str, works: impl Fn(&Path) -> bool) -> Result<PathBuf> {
    let folder = command::target().join(name);
    if works(&folder) {
        return Ok(folder);
    }
    println!("fetching {} from PyPI into {}: {why}", packages.join(", "), folder.display());
    let mut create = command::words("python3 -m venv");
    create.arg(&folder);
    if command::quietly(&mut create).is_err() {
        apt_install(&["python3-venv"])?;
        command::quietly(&mut create)?;
    }
    let mut install = Command::new(folder.join("bin/pip"));
    command::quietly(install.args(["install", "--quiet"]).args(packages))?;
    ensure!(works(&folder), "what PyPI gave for {name} cannot be imported");
    Ok(folder)
}

fn imports(folder: &Path, module: &str) -> bool {
    let mut command = Command::new(folder.join("bin/python3"));
    command.args(["-c", &format!("import {module}")]).output().is_ok_and(|output| output.status.success())
}

/// Docker's buildx below the target folder; gives its path. Only newer suites of Debian have it.
pub fn buildx() -> Result<PathBuf> {
    const SUITE: &str = "trixie";
    let folder = command::target().join("buildx");
    let program = folder.join("usr/libexec/docker/cli-plugins/docker-buildx");
    if program.is_file() {
        return Ok(program);
    }
    println!("fetching docker-buildx from Debian's registry into {}: BuildKit's client", folder.display());
    let apt = folder.join("apt");
    for part in ["lists/partial", "cache/archives/partial"] {
        fs::create_dir_all(apt.join(part))?;
    }
    let mut mirrors = command::words("apt-get indextargets");
    let mirrors = mirrors.args(["--format", "$(REPO_URI)", "Created-By: Packages", "Origin: Debian"]).output()?;
    let mirrors = String::from_utf8(mirrors.stdout).context("apt-get says where packages are")?;
    let mirror = mirrors.lines().find(|uri| !uri.contains("security")).context("apt knows no mirror of Debian")?;
    let sources = apt.join("sources.list");
    let keys = "/usr/share/keyrings/debian-archive-keyring.gpg";
    fs::write(&sources, format!("deb [signed-by={keys}] {mirror} {SUITE} main\n"))?;
    let run = |words: &str| {
        let mut command = command::words(words);
        let option = |name: &str, path: &Path| format!("{name}={}", path.display());
        let settings = [
            option("Dir::Etc::sourcelist", &sources),
            option("Dir::Etc::sourceparts", Path::new("/dev/null")),
            option("Dir::State::lists", &apt.join("lists")),
            option("Dir::Cache", &apt.join("cache")),
            "APT::Sandbox::User=root".to_owned(),
        ];
        for setting in &settings {
            command.args(["-o", setting]);
        }
        command::quietly(command.current_dir(&folder))
    };
    run("apt-get update --quiet")?;
    run("apt-get download --quiet docker-buildx")?;
    let package =
        fs::read_dir(&folder)?.flatten().map(|entry| entry.path()).find(|p| p.extension().is_some_and(|e| e == "deb"));
    let package = package.context("apt-get has brought no package")?;
    command::quietly(command::words("dpkg-deb --extract").arg(&package).arg(&folder))?;
    fs::remove_file(package)?;
    fs::remove_dir_all(apt)?;
    ensure!(program.is_file(), "the package docker-buildx has brought no plugin");
    Ok(program)
}

/// The folder of Node's modules below the target folder, with `dockerode` in it.
pub fn dockerode() -> Result<PathBuf> {
    let folder = command::target().join("dockerode");
    let modules = folder.join("node_modules");
    if !modules.join("dockerode/package.json").is_file() {
        println!("fetching dockerode from npm's registry into {}: an SDK as a client", folder.display());
        fs::create_dir_all(&folder)?;
        let mut install = command::words("npm install --silent --no-audit --no-fund --ignore-scripts --prefix");
        command::quietly(install.arg(&folder).arg("dockerode@5"))?;
    }
    ensure!(modules.join("dockerode/package.json").is_file(), "npm has brought no dockerode");
    Ok(modules)
}
