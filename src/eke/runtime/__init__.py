"""Make it so: fabrics, engines, the controller and the ledger."""
