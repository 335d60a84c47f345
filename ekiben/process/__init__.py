"""What every process of Ekiben does alike: reads its settings, writes its logs."""
