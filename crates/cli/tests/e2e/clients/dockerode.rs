//! dockerode, the SDK for Node.js.

use wharf_testkit::{Output, foreign};

use super::{Host, fetched};

#[test]
fn containers_execs_streams_and_errors() {
    let (Some(node), Some(modules)) = (foreign::need("node"), fetched("WHARF_TEST_NODE_MODULES", "dockerode")) else {
        return;
    };
    let host = Host::start();
    let program = host.file("program.js", include_str!("dockerode.js"));
    let mut command = host.command(&node);
    command.arg(program).env("NODE_PATH", modules).env("SOCKET", host.engine.socket());
    assert_eq!(Output::of(&mut command, b"").ok().stdout, "done\n");
    host.engine.finish();
}
