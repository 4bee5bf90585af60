//! Metrics of the channels of Node workers.

use super::family::{Family, number};
use crate::model::NodeTotals;

/// All families.
pub(super) fn families(totals: &NodeTotals) -> [Family; 4] {
    [
        Family::counter(
            "rpm_node_messages_total",
            "Messages of Node workers: deliveries to other workers, and messages that nobody receives.",
        )
        .each(
            "result",
            [
                ("relayed", number(totals.relayed)),
                ("unaddressed", number(totals.unaddressed)),
            ],
        ),
        Family::counter(
            "rpm_node_messages_lost_total",
            "Messages to other Node workers that were lost, by reason.",
        )
        .each(
            "reason",
            [
                ("buffer_full", number(totals.lost_full)),
                ("slot_removed", number(totals.lost_slot)),
                ("channel_closed", number(totals.lost_closed)),
            ],
        ),
        Family::gauge(
            "rpm_node_messages_held",
            "Messages that wait for a slot without a ready worker.",
        )
        .only(number(totals.held)),
        Family::counter(
            "rpm_node_channel_faults_total",
            "Node workers that were replaced because their channel could not be served.",
        )
        .only(number(totals.faults)),
    ]
}
