//! What is wrong with a dashboard, by rules that have names: the seventeen of Grafana's dashboard-linter, and ours.
