"""A certificate of the tests' own."""
import os
import subprocess


def certificate(folder):
    """For localhost: the path of a file with its key and itself."""
    path = os.path.join(folder, "localhost.pem")
    subprocess.run(["openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes", "-days", "2", "-subj", "/CN=localhost",
                    "-addext", "subjectAltName=DNS:localhost", "-keyout", path, "-out", path + ".crt"],
                   check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    with open(path, "a") as f, open(path + ".crt") as crt:
        f.write(crt.read())
    return path
