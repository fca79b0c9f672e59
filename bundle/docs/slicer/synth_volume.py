# SPDX-License-Identifier: Apache-2.0
"""The other contrast of a volume in 3D Slicer, made by a MONAI Label server. In Slicer's Python console.

exec(open("synth_volume.py").read())
synthesise("PDFS")  # or synthesise("PD", "name of the volume", "http://127.0.0.1:8000")
"""

import json
import tempfile
import urllib.error
import urllib.request
import uuid
from pathlib import Path

import slicer

WINDOW = (0, 1000)  # 1000 is the bright end of either contrast


def synthesise(target="PDFS", volume=None, server="http://127.0.0.1:8000"):
    """Synthesise a contrast from a volume and load it as a scalar volume named SYNTH.

    Args:
        target: contrast to make, PDFS or PD; the volume is taken to be the other one.
        volume: its node or its name; by default the one in the background of the red slice view.
        server: address of MONAI Label, which serves this bundle.

    Returns:
        The new node; None after a refusal, which is shown.
    """
    if volume is None:
        volume = slicer.app.layoutManager().sliceWidget("Red").sliceLogic().GetBackgroundLayer().GetVolumeNode()
    node = slicer.util.getNode(volume) if isinstance(volume, str) else volume
    if node is None:
        return slicer.util.errorDisplay("No volume is shown; load one, or name it.")
    with tempfile.TemporaryDirectory() as folder:
        source, result = Path(folder, "source.nii.gz"), Path(folder, "result.nii.gz")
        slicer.util.saveNode(node, str(source))
        try:
            answer = ask(server, source, {"target_contrast": target})
        except urllib.error.HTTPError as error:
            return slicer.util.errorDisplay(f"{server} refused ({error.code}): {error.read().decode()}")
        except (OSError, LookupError) as error:
            return slicer.util.errorDisplay(f"{server}: {error}")
        result.write_bytes(answer["image"])
        made = slicer.util.loadVolume(str(result), {"name": f"SYNTH {target} of {node.GetName()}"})
    made.GetDisplayNode().AutoWindowLevelOff()
    made.GetDisplayNode().SetWindowLevelMinMax(*WINDOW)
    slicer.util.setSliceViewerLayers(background=node, foreground=made, foregroundOpacity=1.0)
    said = json.loads(answer["params"])
    if said["warnings"]:
        slicer.util.warningDisplay(said["warnings"])
    slicer.util.showStatusMessage(said["notice"])
    return made


def ask(server, path, params):
    """Parts of the server's answer by name: ``image``, a NIfTI file, and ``params``, JSON."""
    with urllib.request.urlopen(f"{server}/info/") as response:
        models = json.load(response)["models"]
    names = [name for name, model in models.items() if "target_contrast" in model["config"]]
    if len(names) != 1:
        raise LookupError(f"{len(names)} models that ask for a target_contrast; need one; start it with this bundle")
    mark = uuid.uuid4().hex.encode()
    fields = {b'"params"': json.dumps(params).encode(), b'"file"; filename="source.nii.gz"': path.read_bytes()}
    head = b"--%s\r\nContent-Disposition: form-data; name=%s\r\n\r\n%s\r\n"
    body = b"".join(head % (mark, name, content) for name, content in fields.items()) + b"--%s--\r\n" % mark
    kind = {"Content-Type": f"multipart/form-data; boundary={mark.decode()}"}
    request = urllib.request.Request(f"{server}/infer/{names[0]}?output=all", body, kind)
    with urllib.request.urlopen(request) as response:
        mark = response.headers["Content-Type"].rpartition("boundary=")[2].encode()
        parts = [part.partition(b"\r\n\r\n") for part in response.read().split(b"--" + mark)[1:-1]]
    return {head.split(b'name="')[1].split(b'"')[0].decode(): content[:-2] for head, _, content in parts}
