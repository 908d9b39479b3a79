"""What you run: architectures from any `config.json`, a catalogue, variants, and weights. It knows no chip."""
