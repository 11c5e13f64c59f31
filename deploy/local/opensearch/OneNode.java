import java.util.Collection;
import java.util.List;
import java.util.Map;
import org.opensearch.common.logging.LogConfigurator;
import org.opensearch.common.settings.Settings;
import org.opensearch.env.Environment;
import org.opensearch.node.InternalSettingsPreparer;
import org.opensearch.node.Node;
import org.opensearch.plugins.Plugin;
import org.opensearch.transport.Netty4Plugin;

/**
 * One OpenSearch node for tests: `java -cp 'libs/*' OneNode.java FOLDER PORT`. It listens on 127.0.0.1 alone,
 * keeps its data in FOLDER, which must hold config/log4j2.properties, and ends with SIGTERM or when its
 * standard input ends, so that it does not outlive a test that was killed.
 */
public final class OneNode extends Node {
    private OneNode(Environment environment, Collection<Class<? extends Plugin>> plugins) {
        super(environment, plugins, false);
    }

    public static void main(String[] arguments) throws Exception {
        Settings settings = Settings.builder()
                .put("path.home", arguments[0])
                .put("cluster.name", "ferrocart-test")
                .put("node.name", "one")
                .put("discovery.type", "single-node")
                .put("network.host", "127.0.0.1")
                .put("http.port", arguments[1])
                .put("transport.port", "0")
                .put("transport.type", "netty4")
                .put("http.type", "netty4")
                .put("cluster.routing.allocation.disk.threshold_enabled", false)
                .put("action.auto_create_index", false)
                .build();
        Environment environment = InternalSettingsPreparer.prepareEnvironment(settings, Map.of(), null, () -> "one");
        LogConfigurator.setNodeName("one");
        LogConfigurator.configure(environment);
        Node node = new OneNode(environment, List.of(Netty4Plugin.class));
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.close();
            } catch (Exception error) {
                System.err.println("closing the node: " + error);
            }
        }));
        node.start();
        while (System.in.read() >= 0) {}
        System.exit(0);
    }
}
