//! What is known of each tool, as metrics.

use std::fmt;
use std::sync::Arc;

use prometheus_client::collector::Collector;
use prometheus_client::encoding::{DescriptorEncoder, EncodeMetric};
use prometheus_client::metrics::MetricType;
use prometheus_client::metrics::counter::ConstCounter;
use prometheus_client::metrics::gauge::ConstGauge;

use super::super::{ToolSnapshot, ToolStats};
use crate::telemetry::metric as name;

/// Reads the tools each time it is asked.
pub(super) struct PerTool(pub Arc<ToolStats>);

impl fmt::Debug for PerTool {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("PerTool").finish_non_exhaustive()
    }
}

impl Collector for PerTool {
    fn encode(&self, mut encoder: DescriptorEncoder<'_>) -> fmt::Result {
        let tools = self.0.snapshot();
        let signed = |count: u64| i64::try_from(count).unwrap_or(i64::MAX);

        let help = "Calls that were answered, by how they ended";
        let mut calls = encoder.encode_descriptor(name::CALLS, help, None, MetricType::Counter)?;
        for ToolSnapshot { name, outcomes, .. } in &tools {
            for (kind, count) in outcomes {
                let labels = [("tool", &**name), ("outcome", kind.as_str())];
                ConstCounter::new(*count).encode(calls.encode_family(&labels)?)?;
            }
        }

        let mut counters = |name, help, value: fn(&ToolSnapshot) -> u64| {
            let mut family = encoder.encode_descriptor(name, help, None, MetricType::Counter)?;
            for tool in &tools {
                let labels = [("tool", &*tool.name)];
                ConstCounter::new(value(tool)).encode(family.encode_family(&labels)?)?;
            }
            Ok(())
        };
        counters(name::CALL_RETRIES, "Tries besides the first of each call", |tool| tool.retries)?;
        counters(name::WORKER_RESTARTS, "Workers that failed and were rebuilt", |tool| {
            tool.restarts
        })?;

        let help = "Calls that were handed to their workers and are not answered";
        let mut family =
            encoder.encode_descriptor(name::CALLS_IN_FLIGHT, help, None, MetricType::Gauge)?;
        for tool in &tools {
            let labels = [("tool", &*tool.name)];
            ConstGauge::new(signed(tool.in_flight)).encode(family.encode_family(&labels)?)?;
        }

        let help = "Circuits that are not closed, of sessions and of the process";
        let mut family =
            encoder.encode_descriptor(name::CIRCUITS, help, None, MetricType::Gauge)?;
        for ToolSnapshot { name, circuit, .. } in &tools {
            for (state, count) in [("open", circuit.open), ("probing", circuit.probing)] {
                let labels = [("tool", &**name), ("state", state)];
                let count = ConstGauge::new(signed(count as u64));
                count.encode(family.encode_family(&labels)?)?;
            }
        }
        Ok(())
    }
}
