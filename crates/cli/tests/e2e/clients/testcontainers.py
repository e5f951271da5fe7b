import urllib.request
import warnings

from testcontainers.core.container import DockerContainer
from testcontainers.core.network import Network
from testcontainers.core.waiting_utils import wait_for_logs

warnings.simplefilter("ignore")

with Network() as network:
    web = DockerContainer("busybox:test").with_command("sh -c 'echo ready; exec httpd -f -h /var/www'")
    web = web.with_exposed_ports(80).with_env("A", "b").with_network(network).with_network_aliases("site")
    web = web.with_kwargs(init=True)
    with web:
        wait_for_logs(web, "ready")
        url = f"http://{web.get_container_host_ip()}:{web.get_exposed_port(80)}/"
        assert urllib.request.urlopen(url).read() == b"hello from inside\n"
        assert web.exec(["sh", "-c", "echo $A"]).output == b"b\n"
        asker = DockerContainer("busybox:test").with_command("wget -q -O- http://site/").with_network(network)
        with asker:
            wait_for_logs(asker, "hello from inside")
            assert asker.get_logs()[0] == b"hello from inside\n"
print("done")
