-- Starts of a change of model since its last progress: one that keeps killing the appliance is given up.
ALTER TABLE model_changes ADD COLUMN crashes INTEGER NOT NULL DEFAULT 0;
