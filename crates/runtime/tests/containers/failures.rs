use std::fs;
use std::os::unix::fs::PermissionsExt;

use wharf_runtime::spec::Seccomp;
use wharf_types::Kind;

use super::harness::{Fixture, bind};

fn error_of(argv: &[&str]) -> (Kind, String) {
    let mut fixture = Fixture::new("");
    fixture.spec.process.argv = argv.iter().map(|argument| (*argument).to_owned()).collect();
    let script = fixture.image().join("bin/script");
    fs::write(&script, "echo no interpreter line").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let script = fixture.image().join("bin/missing");
    fs::write(&script, "#!/no/such/interpreter\n").unwrap();
    fs::set_permissions(&script, fs::Permissions::from_mode(0o755)).unwrap();
    let error = fixture.start_error();
    (error.kind(), error.chain())
}

#[test]
fn programs_that_cannot_run() {
    let cases: [(&[&str], Kind, &str); 7] = [
        (&["nonsense"], Kind::CommandNotFound, "exec: \"nonsense\": executable file not found in $PATH"),
        (&["/nonsense"], Kind::CommandNotFound, "exec: \"/nonsense\": stat /nonsense: no such file or directory"),
        (&["/etc/passwd"], Kind::CommandNotExecutable, "exec: \"/etc/passwd\": permission denied"),
        (&["/etc"], Kind::CommandNotExecutable, "exec: \"/etc\": is a directory"),
        (&["script"], Kind::CommandNotExecutable, "exec /bin/script: exec format error"),
        (&["missing"], Kind::CommandNotFound, "exec /bin/missing: no such file or directory"),
        (&[], Kind::InvalidParameter, "no command specified"),
    ];
    for (argv, kind, text) in cases {
        assert_eq!(error_of(argv), (kind, text.to_owned()));
    }
}

#[test]
fn the_same_under_the_minimal_init() {
    let mut fixture = Fixture::new("");
    fixture.spec.process.argv = vec!["nonsense".to_owned()];
    fixture.spec.init = true;
    assert_eq!(fixture.start_error().kind(), Kind::CommandNotFound);
}

#[test]
fn users_that_do_not_exist() {
    let mut fixture = Fixture::new("true");
    fixture.spec.process.user = "eve".to_owned();
    assert_eq!(fixture.start_error().chain(), "unable to find user eve: no matching entries in passwd file");
}

#[test]
fn mounts_that_do_not_exist() {
    let mut fixture = Fixture::new("true");
    fixture.spec.mounts = vec![bind("/no/such/source".as_ref(), "/x")];
    let error = fixture.start_error();
    assert_eq!(error.kind(), Kind::InvalidParameter, "{error:?}");
    assert!(error.chain().contains("bind source path does not exist: /no/such/source"), "{}", error.chain());
}

#[test]
fn a_folder_over_a_file() {
    let mut fixture = Fixture::new("true");
    fixture.spec.mounts = vec![bind("/tmp".as_ref(), "/etc/passwd")];
    assert!(fixture.start_error().chain().contains("/etc/passwd"));
}

#[test]
fn layers_profiles_and_parameters_that_are_wrong() {
    let mut fixture = Fixture::new("true");
    fixture.spec.sysctls.insert("kernel.no_such_thing".to_owned(), "1".to_owned());
    let error = fixture.start_error().chain();
    assert!(error.starts_with("cannot set kernel parameter kernel.no_such_thing"), "{error}");

    let mut fixture = Fixture::new("true");
    fixture.spec.process.seccomp = Seccomp::Profile("{".to_owned());
    assert_eq!(fixture.start_error().kind(), Kind::InvalidParameter);

    let fixture = Fixture::new("true");
    fs::rename(fixture.image(), fixture.folder.path().join("gone")).unwrap();
    assert!(fixture.start_error().chain().starts_with("cannot mount the container's root"));
}

#[test]
fn a_start_that_is_given_up_leaves_nothing() {
    let fixture = Fixture::new("true");
    let (_reader, writer) = std::io::pipe().unwrap();
    let starting = wharf_runtime::Starting::begin(&fixture.spec, super::harness::streams(writer)).unwrap();
    let pid = starting.pid();
    assert!(!fixture.cgroups().is_empty());
    drop(starting);
    assert!(fixture.cgroups().is_empty());
    assert!(!std::path::Path::new(&format!("/proc/{pid}")).exists());
}
