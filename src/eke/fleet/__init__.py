"""What you own: chips by name, pools of like nodes, how a machine's own are found. It knows no model and no price."""
