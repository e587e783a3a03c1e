//! What docker-compose.yml starts, as a person meets it: ports, the variables that move them, what to look at. A test holds it to the file.

/// One container.
pub struct Service {
    pub name: &'static str,
    /// What it may use at most.
    pub memory_mb: u64,
    /// Whether it is in docker-compose.minimal.yml, too.
    pub minimal: bool,
    pub doors: &'static [Door],
}

/// One port of this machine.
pub struct Door {
    /// The variable that moves it.
    pub variable: &'static str,
    pub usual: u16,
    /// How its address is written, with `{}` for host and port.
    pub address: &'static str,
    /// What is to be seen there; empty for one that programs use.
    pub look: &'static str,
}

const fn door(variable: &'static str, usual: u16, address: &'static str, look: &'static str) -> Door {
    Door { variable, usual, address, look }
}

const fn service(name: &'static str, memory_mb: u64, minimal: bool, doors: &'static [Door]) -> Service {
    Service { name, memory_mb, minimal, doors }
}

/// All of them; those to look at first come first.
pub const SERVICES: [Service; 12] = [
    service(
        "grafana",
        256,
        true,
        &[door(
            "GRAFANA_PORT",
            3000,
            "http://{}",
            "dashboards; begin with Overview (admin, admin to change something)",
        )],
    ),
    service(
        "jaeger",
        448,
        true,
        &[
            door(
                "JAEGER_PORT",
                16686,
                "http://{}",
                "traces: service chassis, Find Traces; rates and times: Monitor",
            ),
            door("OTLP_PORT", 4317, "http://{}", ""),
        ],
    ),
    service(
        "chassis",
        256,
        true,
        &[door("CHASSIS_PORT", 7700, "http://{}/docs", "every flow and instance, to try; /health, /metrics")],
    ),
    service(
        "prometheus",
        384,
        true,
        &[door("PROMETHEUS_PORT", 9090, "http://{}", "metrics and alerts: Alerts, Status > Targets")],
    ),
    service(
        "alertmanager",
        64,
        false,
        &[door("ALERTMANAGER_PORT", 9093, "http://{}", "which alerts fire, and what they hold back")],
    ),
    service(
        "adminer",
        64,
        false,
        &[door(
            "ADMINER_PORT",
            8081,
            "http://{}",
            "the table users: PostgreSQL, postgres, password, microservices_db",
        )],
    ),
    service(
        "rabbitmq",
        384,
        false,
        &[
            door("RABBITMQ_MANAGEMENT_PORT", 15672, "http://{}", "the queue welcome_messages: guest, guest"),
            door("RABBITMQ_PORT", 5672, "amqp://{}", ""),
        ],
    ),
    service(
        "elasticsearch",
        1024,
        false,
        &[door("ELASTICSEARCH_PORT", 9200, "http://{}/users/_search?pretty", "the index users")],
    ),
    service(
        "api",
        32,
        false,
        &[door("API_PORT", 8080, "http://{}/status", "the HTTP API: files of api_responses/")],
    ),
    service("postgres", 256, false, &[door("POSTGRES_PORT", 5432, "postgres://{}", "")]),
    service("mongodb", 512, false, &[door("MONGODB_PORT", 27017, "mongodb://{}", "")]),
    service("redis", 96, false, &[door("REDIS_PORT", 6379, "redis://{}", "")]),
];

/// Those that are started.
pub fn chosen(minimal: bool) -> impl Iterator<Item = &'static Service> {
    SERVICES.iter().filter(move |service| !minimal || service.minimal)
}

/// The compose file that starts them.
pub fn file(minimal: bool) -> &'static str {
    if minimal { "docker-compose.minimal.yml" } else { "docker-compose.yml" }
}
