"""What plugins share whose server is not a child process of zeroscale."""
