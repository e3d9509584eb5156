//! The controllers of the `apps` group, one file each, and ReplicationController's, which is the same as ReplicaSet's.

mod claim;
mod deployment;
mod note;
mod replicaset;
mod replication;

use sdk_plugin::Tables;

pub fn register(tables: &mut Tables) {
    tables.controller(replicaset::ReplicaSetController);
    tables.controller(replication::ReplicationControllerController);
    tables.controller(deployment::DeploymentController);
}

#[cfg(test)]
mod world;
