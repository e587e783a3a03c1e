import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Map;
import java.util.concurrent.TimeUnit;
import org.elasticsearch.common.logging.LogConfigurator;
import org.elasticsearch.common.settings.Settings;
import org.elasticsearch.env.Environment;
import org.elasticsearch.node.InternalSettingsPreparer;
import org.elasticsearch.node.Node;

/**
 * Starts one Elasticsearch node: Launcher HOME PORT DATA.
 *
 * It does what org.elasticsearch.bootstrap.Elasticsearch does around the node, less the security
 * manager, the system call filter, the refusal to run as root and the bootstrap checks.
 */
public class Launcher {
    public static void main(String[] args) throws Exception {
        Path home = Path.of(args[0]).toAbsolutePath();
        Path data = Path.of(args[2]).toAbsolutePath();
        Settings settings = Settings.builder()
            .put("path.home", home.toString())
            .put("path.data", Files.createDirectories(data.resolve("data")).toString())
            .put("path.logs", Files.createDirectories(data.resolve("logs")).toString())
            .put("http.port", args[1])
            .put("transport.port", "0") // one node: nobody needs to find this one
            .build();

        // First of all: other classes take their logger from it as they are loaded.
        LogConfigurator.configureESLogging();
        Environment env = InternalSettingsPreparer.prepareEnvironment(
            settings, Map.of(), home.resolve("config"), () -> "chassis-1");
        LogConfigurator.setNodeName(Node.NODE_NAME_SETTING.get(env.settings()));
        LogConfigurator.configure(env, true);

        Node node = new Node(env);
        Runtime.getRuntime().addShutdownHook(new Thread(() -> {
            try {
                node.prepareForClose();
                node.close();
                node.awaitClose(20, TimeUnit.SECONDS);
            } catch (Exception e) {
                e.printStackTrace();
            }
        }));
        try {
            node.start();
        } catch (Throwable t) { // a port that is taken, say
            t.printStackTrace();
            System.exit(1);
        }
        Thread.currentThread().join(); // Elasticsearch's own threads are daemons
    }
}
