//! The commands of a swarm. Flags are read as Docker reads them; the engine answers, as one that is no swarm manager.

use super::absent;

absent! {
    NODE_DEMOTE, ["node demote"], "Make managers workers", "NODE [NODE...]", AtLeast(1), Get "/nodes",
    ""
}
absent! {
    NODE_INSPECT, ["node inspect"], "Show nodes in full", "[OPTIONS] self|NODE [NODE...]", AtLeast(1), Get "/nodes",
    "format,f:string pretty"
}
absent! {
    NODE_LS, ["node ls", "node list"], "List the nodes of the swarm", "[OPTIONS]", None, Get "/nodes",
    "filter,f:filter format:string quiet,q"
}
absent! {
    NODE_PROMOTE, ["node promote"], "Make workers managers", "NODE [NODE...]", AtLeast(1), Get "/nodes",
    ""
}
absent! {
    NODE_PS, ["node ps"], "List the tasks on nodes", "[OPTIONS] [NODE...]", AtLeast(0), Get "/tasks",
    "filter,f:filter format:string no-resolve no-trunc quiet,q"
}
absent! {
    NODE_RM, ["node rm", "node remove"], "Remove nodes from the swarm", "[OPTIONS] NODE [NODE...]", AtLeast(1), Get "/nodes",
    "force,f"
}
absent! {
    NODE_UPDATE, ["node update"], "Change a node", "[OPTIONS] NODE", Exactly(1), Get "/nodes",
    "availability:string label-add:list label-rm:list role:string"
}
absent! {
    SECRET_CREATE, ["secret create"], "Keep a secret in the swarm", "[OPTIONS] SECRET [file|-]", Between(1, 2), Get "/secrets",
    "driver,d:string label,l:list template-driver:string"
}
absent! {
    SECRET_INSPECT, ["secret inspect"], "Show secrets in full", "[OPTIONS] SECRET [SECRET...]", AtLeast(1), Get "/secrets",
    "format,f:string pretty"
}
absent! {
    SECRET_LS, ["secret ls", "secret list"], "List secrets", "[OPTIONS]", None, Get "/secrets",
    "filter,f:filter format:string quiet,q"
}
absent! {
    SECRET_RM, ["secret rm", "secret remove"], "Remove secrets", "SECRET [SECRET...]", AtLeast(1), Get "/secrets",
    ""
}
absent! {
    CONFIG_CREATE, ["config create"], "Keep a configuration in the swarm", "[OPTIONS] CONFIG file|-", Exactly(2), Get "/configs",
    "label,l:list template-driver:string"
}
absent! {
    CONFIG_INSPECT, ["config inspect"], "Show configurations in full", "[OPTIONS] CONFIG [CONFIG...]", AtLeast(1), Get "/configs",
    "format,f:string pretty"
}
absent! {
    CONFIG_LS, ["config ls", "config list"], "List configurations", "[OPTIONS]", None, Get "/configs",
    "filter,f:filter format:string quiet,q"
}
absent! {
    CONFIG_RM, ["config rm", "config remove"], "Remove configurations", "CONFIG [CONFIG...]", AtLeast(1), Get "/configs",
    ""
}
absent! {
    SERVICE_CREATE, ["service create"], "Create a service", "[OPTIONS] IMAGE [COMMAND] [ARG...]", AtLeast(1), Get "/services",
    "cap-add:list cap-drop:list config:config constraint:list container-label:list \
     credential-spec:credential-spec detach,d dns:list dns-option:list dns-search:list \
     endpoint-mode:string entrypoint:command env,e:list env-file:list generic-resource:list group:list \
     health-cmd:string health-interval:duration health-retries:int health-start-interval:duration \
     health-start-period:duration health-timeout:duration host:list hostname:string init isolation:string \
     label,l:list limit-cpu:decimal limit-memory:bytes limit-pids:int64 log-driver:string log-opt:list \
     max-concurrent:uint memory-swap:bytes memory-swappiness:int64 mode:string mount:mount name:string \
     network:network no-healthcheck no-resolve-image oom-score-adj:int64 placement-pref:pref \
     publish,p:port quiet,q read-only replicas:uint replicas-max-per-node:uint64 reserve-cpu:decimal \
     reserve-memory:bytes restart-condition:string restart-delay:duration restart-max-attempts:uint \
     restart-window:duration rollback-delay:duration rollback-failure-action:string \
     rollback-max-failure-ratio:float rollback-monitor:duration rollback-order:string \
     rollback-parallelism:uint64 secret:secret stop-grace-period:duration stop-signal:string sysctl:list \
     tty,t ulimit:ulimit update-delay:duration update-failure-action:string \
     update-max-failure-ratio:float update-monitor:duration update-order:string update-parallelism:uint64 \
     user,u:string with-registry-auth workdir,w:string"
}
absent! {
    SERVICE_INSPECT, ["service inspect"], "Show services in full", "[OPTIONS] SERVICE [SERVICE...]", AtLeast(1), Get "/services",
    "format,f:string pretty"
}
absent! {
    SERVICE_LOGS, ["service logs"], "Show the logs of a service or task", "[OPTIONS] SERVICE|TASK", Exactly(1), Get "/services",
    "details follow,f no-resolve no-task-ids no-trunc raw since:string tail,n:string timestamps,t"
}
absent! {
    SERVICE_LS, ["service ls", "service list"], "List services", "[OPTIONS]", None, Get "/services",
    "filter,f:filter format:string quiet,q"
}
absent! {
    SERVICE_PS, ["service ps"], "List the tasks of services", "[OPTIONS] SERVICE [SERVICE...]", AtLeast(1), Get "/services",
    "filter,f:filter format:string no-resolve no-trunc quiet,q"
}
absent! {
    SERVICE_RM, ["service rm", "service remove"], "Remove services", "SERVICE [SERVICE...]", AtLeast(1), Get "/services",
    ""
}
absent! {
    SERVICE_ROLLBACK, ["service rollback"], "Take a service's last change back", "[OPTIONS] SERVICE", Exactly(1), Get "/services",
    "detach,d quiet,q"
}
absent! {
    SERVICE_SCALE, ["service scale"], "Say how many tasks services have", "SERVICE=REPLICAS [SERVICE=REPLICAS...]", AtLeast(1), Get "/services",
    "detach,d"
}
absent! {
    SERVICE_UPDATE, ["service update"], "Change a service", "[OPTIONS] SERVICE", Exactly(1), Get "/services",
    "args:command cap-add:list cap-drop:list config-add:config config-rm:list constraint-add:list \
     constraint-rm:list container-label-add:list container-label-rm:list credential-spec:credential-spec \
     detach,d dns-add:list dns-option-add:list dns-option-rm:list dns-rm:list dns-search-add:list \
     dns-search-rm:list endpoint-mode:string entrypoint:command env-add:list env-rm:list force \
     generic-resource-add:list generic-resource-rm:list group-add:list group-rm:list health-cmd:string \
     health-interval:duration health-retries:int health-start-interval:duration \
     health-start-period:duration health-timeout:duration host-add:list host-rm:list hostname:string \
     image:string init isolation:string label-add:list label-rm:list limit-cpu:decimal limit-memory:bytes \
     limit-pids:int64 log-driver:string log-opt:list max-concurrent:uint memory-swap:bytes \
     memory-swappiness:int64 mount-add:mount mount-rm:list network-add:network network-rm:list \
     no-healthcheck no-resolve-image oom-score-adj:int64 placement-pref-add:pref placement-pref-rm:pref \
     publish-add:port publish-rm:port quiet,q read-only replicas:uint replicas-max-per-node:uint64 \
     reserve-cpu:decimal reserve-memory:bytes restart-condition:string restart-delay:duration \
     restart-max-attempts:uint restart-window:duration rollback rollback-delay:duration \
     rollback-failure-action:string rollback-max-failure-ratio:float rollback-monitor:duration \
     rollback-order:string rollback-parallelism:uint64 secret-add:secret secret-rm:list \
     stop-grace-period:duration stop-signal:string sysctl-add:list sysctl-rm:list tty,t ulimit-add:ulimit \
     ulimit-rm:list update-delay:duration update-failure-action:string update-max-failure-ratio:float \
     update-monitor:duration update-order:string update-parallelism:uint64 user,u:string \
     with-registry-auth workdir,w:string"
}
absent! {
    STACK_CONFIG, ["stack config"], "Print what a stack's files come to", "[OPTIONS]", None, Get "/services",
    "compose-file,c:stringSlice skip-interpolation"
}
absent! {
    STACK_DEPLOY, ["stack deploy", "stack up"], "Deploy a stack, new or changed", "[OPTIONS] STACK", Exactly(1), Get "/services",
    "compose-file,c:stringSlice detach,d prune quiet,q resolve-image:string with-registry-auth"
}
absent! {
    STACK_LS, ["stack ls", "stack list"], "List stacks", "[OPTIONS]", None, Get "/services",
    "format:string"
}
absent! {
    STACK_PS, ["stack ps"], "List the tasks of a stack", "[OPTIONS] STACK", Exactly(1), Get "/tasks",
    "filter,f:filter format:string no-resolve no-trunc quiet,q"
}
absent! {
    STACK_RM, ["stack rm", "stack remove", "stack down"], "Remove stacks", "[OPTIONS] STACK [STACK...]", AtLeast(1), Get "/services",
    "detach,d"
}
absent! {
    STACK_SERVICES, ["stack services"], "List the services of a stack", "[OPTIONS] STACK", Exactly(1), Get "/services",
    "filter,f:filter format:string quiet,q"
}
absent! {
    SWARM_CA, ["swarm ca"], "Show or change the swarm's authority", "[OPTIONS]", None, Get "/swarm",
    "ca-cert:pem-file ca-key:pem-file cert-expiry:duration detach,d external-ca:external-ca quiet,q \
     rotate"
}
absent! {
    SWARM_INIT, ["swarm init"], "Begin a swarm", "[OPTIONS]", None, Post "/swarm/init",
    "advertise-addr:string autolock availability:string cert-expiry:duration data-path-addr:string \
     data-path-port:uint32 default-addr-pool:ipNetSlice default-addr-pool-mask-length:uint32 \
     dispatcher-heartbeat:duration external-ca:external-ca force-new-cluster listen-addr:node-addr \
     max-snapshots:uint64 snapshot-interval:uint64 task-history-limit:int64"
}
absent! {
    SWARM_JOIN_TOKEN, ["swarm join-token"], "Show how nodes join", "[OPTIONS] (worker|manager)", Exactly(1), Get "/swarm",
    "quiet,q rotate"
}
absent! {
    SWARM_JOIN, ["swarm join"], "Join a swarm", "[OPTIONS] HOST:PORT", Exactly(1), Post "/swarm/join",
    "advertise-addr:string availability:string data-path-addr:string listen-addr:node-addr token:string"
}
absent! {
    SWARM_LEAVE, ["swarm leave"], "Leave the swarm", "[OPTIONS]", None, Post "/swarm/leave",
    "force,f"
}
absent! {
    SWARM_UNLOCK_KEY, ["swarm unlock-key"], "Show the key of the managers", "[OPTIONS]", None, Get "/swarm/unlockkey",
    "quiet,q rotate"
}
absent! {
    SWARM_UNLOCK, ["swarm unlock"], "Unlock this manager", "", None, Post "/swarm/unlock",
    ""
}
absent! {
    SWARM_UPDATE, ["swarm update"], "Change the swarm", "[OPTIONS]", None, Get "/swarm",
    "autolock cert-expiry:duration dispatcher-heartbeat:duration external-ca:external-ca \
     max-snapshots:uint64 snapshot-interval:uint64 task-history-limit:int64"
}
absent! {
    VOLUME_UPDATE, ["volume update"], "Change a volume of the cluster", "[OPTIONS] VOLUME", Exactly(1), Put "/volumes/x",
    "availability:string"
}
