"""Interest evolution: recurrent layers and their auxiliary loss."""
