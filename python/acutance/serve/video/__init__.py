"""Video: files and streams, decoded and encoded by ffmpeg in processes of its own."""
