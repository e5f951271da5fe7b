//! bollard, the SDK for Rust that most programs use.

use std::collections::HashMap;

use bollard::Docker;
use bollard::exec::StartExecResults;
use bollard::models::{ContainerCreateBody, ExecConfig, HostConfig, NetworkCreateRequest, VolumeCreateRequest};
use bollard::query_parameters::{
    CreateContainerOptionsBuilder, ListContainersOptionsBuilder, LogsOptionsBuilder, RemoveContainerOptionsBuilder,
    RemoveVolumeOptions, WaitContainerOptions,
};
use futures_util::StreamExt;

use super::Host;

#[test]
fn containers_execs_logs_and_errors() {
    let host = Host::start();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let docker = Docker::connect_with_unix(&host.engine.host(), 60, bollard::API_DEFAULT_VERSION).unwrap();
    runtime.block_on(drive(docker));
    host.engine.finish();
}

async fn drive(docker: Docker) {
    let docker = docker.negotiate_version().await.unwrap();
    assert!(docker.version().await.unwrap().api_version.is_some());
    assert_eq!(docker.info().await.unwrap().os_type.as_deref(), Some("linux"));
    docker.create_network(NetworkCreateRequest { name: "net".into(), ..Default::default() }).await.unwrap();
    docker.create_volume(VolumeCreateRequest { name: Some("vol".into()), ..Default::default() }).await.unwrap();
    let body = ContainerCreateBody {
        image: Some("busybox:test".into()),
        cmd: Some(["sh", "-c", "echo out; echo err >&2; exec sleep 1000"].map(String::from).to_vec()),
        labels: Some(HashMap::from([("x".to_owned(), "y".to_owned())])),
        host_config: Some(HostConfig {
            network_mode: Some("net".into()),
            binds: Some(vec!["vol:/data".into()]),
            init: Some(true),
            ..Default::default()
        }),
        ..Default::default()
    };
    let options = CreateContainerOptionsBuilder::default().name("box").build();
    let id = docker.create_container(Some(options), body).await.unwrap().id;
    docker.start_container("box", None).await.unwrap();
    let filters = HashMap::from([("label", vec!["x=y"])]);
    let options = ListContainersOptionsBuilder::default().filters(&filters).build();
    assert_eq!(docker.list_containers(Some(options)).await.unwrap()[0].id.as_deref(), Some(id.as_str()));
    let inspected = docker.inspect_container("box", None).await.unwrap();
    assert_eq!(inspected.state.unwrap().running, Some(true));

    let exec = ExecConfig {
        attach_stdout: Some(true),
        cmd: Some(["sh", "-c", "echo inside; exit 5"].map(String::from).to_vec()),
        ..Default::default()
    };
    let exec = docker.create_exec("box", exec).await.unwrap().id;
    let StartExecResults::Attached { mut output, .. } = docker.start_exec(&exec, None).await.unwrap() else {
        panic!("detached");
    };
    let mut text = String::new();
    while let Some(piece) = output.next().await {
        text.push_str(&piece.unwrap().to_string());
    }
    assert_eq!(text, "inside\n");
    assert_eq!(docker.inspect_exec(&exec).await.unwrap().exit_code, Some(5));

    docker.kill_container("box", None).await.unwrap();
    let ended = docker.wait_container("box", None::<WaitContainerOptions>).next().await.unwrap();
    assert!(matches!(ended, Err(bollard::errors::Error::DockerContainerWaitError { code: 137, .. })), "{ended:?}");
    let options = LogsOptionsBuilder::default().stdout(true).stderr(true).build();
    let logs: Vec<String> = docker.logs("box", Some(options)).map(|line| line.unwrap().to_string()).collect().await;
    assert_eq!(logs.len(), 2, "{logs:?}");
    docker.remove_container("box", Some(RemoveContainerOptionsBuilder::default().force(true).build())).await.unwrap();
    docker.remove_network("net").await.unwrap();
    docker.remove_volume("vol", None::<RemoveVolumeOptions>).await.unwrap();
    let gone = docker.inspect_container("box", None).await.unwrap_err();
    assert!(
        matches!(&gone, bollard::errors::Error::DockerResponseServerError { status_code: 404, message } if message.contains("No such container: box")),
        "{gone:?}"
    );
}
